//! Kernel parameters that somebody asked for, from `/proc/sys`.

use super::read::{self, Outcome, Problem, Roots};
use super::settings::{Flag, Settings};
use super::{Entry, Run};
use crate::emit::{Kind, Sink};

const INCLUDE: Flag = Flag::list(
    "collector.sysctl.include",
    "Numbers to show: kernel.threads-max, or fs.file-nr:total,current,max to name its fields",
);
const INFO: Flag = Flag::list(
    "collector.sysctl.include-info",
    "Texts to show as labels of node_sysctl_info",
);

/// The collector.
pub(super) const ENTRY: Entry = Entry::with("sysctl", &[INCLUDE, INFO], build).on_request();

struct Parameter {
    /// `fs.file-nr`
    name: String,
    /// Names of its fields, if they have any.
    fields: Vec<String>,
    text: bool,
}

impl Parameter {
    fn new(given: &str, text: bool) -> Result<Self, String> {
        let (name, fields) = given.split_once(':').unwrap_or((given, ""));
        let sound = |n: &str| !n.is_empty() && !n.contains("..") && !n.starts_with(['.', '/']);
        if !sound(name) {
            return Err(format!(
                "--collector.sysctl.include {given:?} names no parameter"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            fields: fields
                .split(',')
                .filter(|f| !f.is_empty())
                .map(str::to_owned)
                .collect(),
            text,
        })
    }

    /// `node_sysctl_fs_file_nr`
    fn metric(&self) -> String {
        let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!(
            "node_sysctl_{}",
            self.name.chars().map(clean).collect::<String>()
        )
    }

    fn collect(&self, r: &Roots, out: &mut Sink) -> Outcome {
        let path = r.proc("sys").join(self.name.replace('.', "/"));
        let text = read::text(&path)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        if self.text {
            for (i, w) in words.iter().enumerate() {
                let index = i.to_string();
                let mut labels = vec![("name", self.name.as_str()), ("value", *w)];
                if words.len() > 1 {
                    labels.push(("index", &index));
                }
                out.gauge("node_sysctl_info", "sysctl info", &labels, 1.0);
            }
            return Ok(());
        }
        let mut numbers = Vec::with_capacity(words.len());
        for w in &words {
            let n = read::parse(w)
                .ok_or_else(|| Problem::format(&path, format_args!("{w:?} is not a number")))?;
            numbers.push(n);
        }
        let (metric, name) = (self.metric(), &self.name);
        if !self.fields.is_empty() {
            if self.fields.len() != numbers.len() {
                let (want, got) = (self.fields.len(), numbers.len());
                let what = format_args!("{got} numbers, {want} names were given");
                return Err(Problem::format(&path, what));
            }
            for (i, (field, v)) in self.fields.iter().zip(numbers).enumerate() {
                let help = format!("sysctl {name}, field {i}");
                let family = out.family(format!("{metric}_{field}"), help, Kind::Untyped);
                out.add(family, &[], v);
            }
            return Ok(());
        }
        let family = out.family(metric, format!("sysctl {name}"), Kind::Untyped);
        if let [v] = numbers.as_slice() {
            out.add(family, &[], *v);
            return Ok(());
        }
        for (i, v) in numbers.into_iter().enumerate() {
            out.add(family, &[("index", &i.to_string())], v);
        }
        Ok(())
    }
}

fn build(s: &Settings) -> Result<Run, String> {
    let mut all = Vec::new();
    for (flag, text) in [(&INCLUDE, false), (&INFO, true)] {
        for given in s.list(flag) {
            all.push(Parameter::new(given, text)?);
        }
    }
    Ok(Box::new(move |r, out| {
        all.iter().try_for_each(|p| p.collect(r, out))
    }))
}

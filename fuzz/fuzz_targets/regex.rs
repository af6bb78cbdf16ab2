//! No pattern makes the translation panic or compile for long; the shortcuts of label patterns
//! agree with the automaton; expansion of a template stays in bounds.
#![no_main]

use engine::model::StringMatcher as _;
use libfuzzer_sys::fuzz_target;
use query::regex::{GoRegex, LabelRegex};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, '\0');
    let (pattern, subject) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let template = parts.next().unwrap_or("$0");
    let (label, go) = (LabelRegex::new(pattern), GoRegex::anchored(pattern));
    if let (Ok(label), Ok(go)) = (&label, &go) {
        for s in [subject, pattern, "", "a", "a\nb"] {
            assert_eq!(label.is_match(s), go.is_match(s), "{pattern:?} on {s:?}");
            if label.is_match(s) {
                assert!(s.starts_with(label.prefix()), "{pattern:?} on {s:?}");
                assert!(
                    label.literals().is_none_or(|l| l.iter().any(|x| x == s)),
                    "{pattern:?} on {s:?}"
                );
            }
        }
        for l in label.literals().unwrap_or(&[]) {
            assert!(go.is_match(l), "{pattern:?} on its literal {l:?}");
        }
    }
    if let Ok(re) = GoRegex::new(pattern) {
        if let Some(found) = re.find_submatch(subject) {
            let whole = found.get(0).unwrap_or("");
            assert!(subject.contains(whole));
            let mut out = String::new();
            re.expand(template, &found, &mut out);
        }
        if subject.len() * template.len() < 100_000 {
            let _ = re.replace_all(subject, template);
        }
    }
});

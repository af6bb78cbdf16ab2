//! Files in a folder of their own, moved about as log rotation does.

use std::fs;
use std::io::Write as _;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sextant-tail-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
    fn append(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        let mut f = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        f.write_all(text.as_bytes()).unwrap();
    }
    fn rename(&self, a: &str, b: &str) {
        fs::rename(self.0.join(a), self.0.join(b)).unwrap();
    }
    fn files(&self, known: Known) -> Files {
        let mut files = Files::new(known, Arc::default());
        files.set_targets(vec![Target {
            job: 0,
            labels: LabelSet::new(),
            path: PathPattern::new(self.0.join("a.log").to_str().unwrap()).unwrap(),
            exclude: None,
            manner: Manner::default(),
        }]);
        files.refresh(0, &mut Vec::new());
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn read(files: &mut Files) -> Vec<Entry> {
    let mut out = Vec::new();
    for _ in 0..3 {
        files.read(1, &|_| true, &mut |_, e| out.push(e), &mut Vec::new());
    }
    out
}

fn lines(files: &mut Files) -> Vec<String> {
    read(files).into_iter().map(|e| e.line).collect()
}

#[test]
fn the_old_file_is_read_to_its_end_before_the_new_one() {
    let d = Folder::new("rotation");
    d.append("a.log", "1\npart");
    let mut f = d.files(Known::default());
    assert_eq!(lines(&mut f), ["1"]);
    d.append("a.log", "ial\n2\n");
    d.rename("a.log", "a.log.1");
    d.append("a.log", "3\n");
    assert_eq!(lines(&mut f), ["partial", "2", "3"]);
    // The writer may keep the old file open for a while.
    d.append("a.log.1", "late\n");
    assert_eq!(lines(&mut f), ["late"]);
}

#[test]
fn rotations_that_nobody_saw_are_found_again() {
    let d = Folder::new("unseen");
    d.append("a.log", "1\n2\n");
    let mut f = d.files(Known::default());
    assert_eq!(lines(&mut f), ["1", "2"]);
    let known = f.positions();
    drop(f);
    d.append("a.log", "3\n");
    d.rename("a.log", "a.log.2");
    std::thread::sleep(std::time::Duration::from_millis(20));
    d.append("a.log.1", "4\n");
    d.append("a.log", "a longer line than all before\n");
    let mut f = d.files(known);
    assert_eq!(lines(&mut f), ["3", "4", "a longer line than all before"]);
}

#[test]
fn a_position_waits_for_the_line_to_be_done() {
    let d = Folder::new("tickets");
    d.append("a.log", "1\n2\n");
    let mut f = d.files(Known::default());
    let held = read(&mut f);
    let path = d.0.join("a.log").to_string_lossy().into_owned();
    assert_eq!(f.positions().offsets[&path], "0");
    drop(held);
    assert_eq!(f.positions().offsets[&path], "4");
    let again = f.positions();
    assert!(lines(&mut d.files(again)).is_empty());
}

#[test]
fn a_cut_file_begins_again_and_a_gone_one_is_forgotten() {
    let d = Folder::new("cut");
    d.append("a.log", "long line one\n");
    let mut f = d.files(Known::default());
    assert_eq!(lines(&mut f), ["long line one"]);
    fs::write(d.0.join("a.log"), "s\n").unwrap();
    assert_eq!(lines(&mut f), ["s"]);
    // An offset beyond the end means another content.
    let path = d.0.join("a.log").to_string_lossy().into_owned();
    let known = Known {
        offsets: BTreeMap::from([(path.clone(), "99".into()), ("cursor-x".into(), "1".into())]),
        ..Known::default()
    };
    let mut f = d.files(known);
    assert_eq!(lines(&mut f), ["s"]);
    fs::remove_file(d.0.join("a.log")).unwrap();
    f.refresh(2, &mut Vec::new());
    let left = f.positions().offsets;
    assert_eq!(left.keys().collect::<Vec<_>>(), ["cursor-x"]);
}

/// A kill between the rename and the new file: the path is not there at the next start.
#[test]
fn a_file_that_has_left_its_path_is_found_at_the_start() {
    let d = Folder::new("left");
    d.append("a.log", "1\n");
    let mut f = d.files(Known::default());
    assert_eq!(lines(&mut f), ["1"]);
    let known = f.positions();
    drop(f);
    d.append("a.log", "2\n");
    d.rename("a.log", "a.log.1");
    let f = d.files(known);
    // Saved before anything is read: the place is still known.
    let known = f.positions();
    assert!(known.records.iter().any(|r| r.rotated && r.offset == 2));
    drop(f);
    let mut f = d.files(known);
    assert_eq!(lines(&mut f), ["2"]);
    // Files that come and go between two looks.
    d.append("a.log", "3\n");
    d.rename("a.log", "a.log.2");
    d.append("a.log", "4\n");
    f.refresh(2, &mut Vec::new());
    assert_eq!(lines(&mut f), ["3", "4"]);
}

#[test]
fn jobs_that_read_the_same_file_keep_the_place_of_the_slower() {
    let d = Folder::new("two");
    d.append("a.log", "1\n2\n");
    let target = |job| Target {
        job,
        labels: LabelSet::new(),
        path: PathPattern::new(d.0.join("a.log").to_str().unwrap()).unwrap(),
        exclude: None,
        manner: Manner::default(),
    };
    let mut files = Files::new(Known::default(), Arc::default());
    files.set_targets(vec![target(0), target(1)]);
    files.refresh(0, &mut Vec::new());
    let all = std::cell::RefCell::new(Vec::new());
    files.read(
        1,
        &|_| true,
        &mut |job, e| all.borrow_mut().push((job, e)),
        &mut Vec::new(),
    );
    let path = d.0.join("a.log").to_string_lossy().into_owned();
    all.borrow_mut().retain(|(job, _)| *job == 1);
    assert_eq!(files.positions().offsets[&path], "0");
    all.borrow_mut().clear();
    assert_eq!(files.positions().offsets[&path], "4");
}

/// A kill right after a file was noted, before anything of it was read.
#[test]
fn a_file_of_which_nothing_was_read_is_found_after_its_rotation() {
    let d = Folder::new("unread");
    d.append("a.log", "1\n");
    let known = d.files(Known::default()).positions();
    d.rename("a.log", "a.log.1");
    d.append("a.log", "2\n");
    assert_eq!(lines(&mut d.files(known)), ["1", "2"]);
}

/// More rotations than files may be open, with a kill before all of them were read.
#[test]
fn a_long_row_of_rotations_is_read_in_order_over_several_starts() {
    let d = Folder::new("row");
    d.append("a.log", "0\n");
    let mut known = d.files(Known::default()).positions();
    for n in 1..200 {
        d.rename("a.log", &format!("a.log.{n}"));
        std::thread::sleep(std::time::Duration::from_millis(5));
        d.append("a.log", &format!("{n}\n"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        // Killed after some turns: what was handed out counts as delivered.
        let mut f = d.files(known.clone());
        seen.extend(lines(&mut f));
        known = f.positions();
    }
    let missing: Vec<_> = (0..200)
        .filter(|n| !seen.contains(&n.to_string()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A file that came and went between two looks, and no other since.
#[test]
fn a_file_that_has_gone_without_another_is_read() {
    let d = Folder::new("gone");
    d.append("a.log", "1\n");
    let mut f = d.files(Known::default());
    assert_eq!(lines(&mut f), ["1"]);
    d.rename("a.log", "a.log.1");
    std::thread::sleep(std::time::Duration::from_millis(20));
    d.append("a.log", "2\n");
    d.rename("a.log", "a.log.2");
    assert!(f.is_stale());
    f.refresh(2, &mut Vec::new());
    assert_eq!(lines(&mut f), ["2"]);
    d.append("a.log", "3\n");
    f.refresh(3, &mut Vec::new());
    assert_eq!(lines(&mut f), ["3"]);
}

fn target(path: PathBuf, manner: Manner) -> Target {
    Target {
        job: 0,
        labels: LabelSet::new(),
        path: PathPattern::new(path.to_str().unwrap()).unwrap(),
        exclude: None,
        manner,
    }
}

#[test]
fn what_is_renamed_while_it_leaves_is_read_to_its_end() {
    let d = Folder::new("leaves");
    d.append("a.log", "1\n");
    let mut f = Files::new(Known::default(), Arc::default());
    let one = vec![target(d.0.join("a.log"), Manner::default())];
    let lines = |f: &mut Files| read(f).into_iter().map(|e| e.line).collect::<Vec<_>>();
    f.set_targets(one.clone());
    f.refresh(0, &mut Vec::new());
    assert_eq!(lines(&mut f), ["1"]);
    // A look that finds it unnamed and there, then one that does not find it.
    f.set_targets(Vec::new());
    f.refresh(1, &mut Vec::new());
    f.set_targets(one);
    d.append("a.log", "2\n");
    d.rename("a.log", "a.log.1");
    f.refresh(2, &mut Vec::new());
    assert_eq!(lines(&mut f), ["2"]);
    d.append("a.log", "3\n");
    f.refresh(3, &mut Vec::new());
    assert_eq!(lines(&mut f), ["3"]);
}

/// The folder is listed between the rename and the new file: however often that happens, the file
/// has not left.
#[test]
fn what_comes_after_the_listing_has_not_left() {
    let d = Folder::new("unlisted");
    d.append("a.log", "1\n");
    let mut f = Files::new(Known::default(), Arc::default());
    f.set_targets(vec![target(d.0.join("a.log"), Manner::default())]);
    f.refresh(0, &mut Vec::new());
    let lines = |f: &mut Files| read(f).into_iter().map(|e| e.line).collect::<Vec<_>>();
    assert_eq!(lines(&mut f), ["1"]);
    d.append("a.log", "2\n");
    d.rename("a.log", "a.log.1");
    d.append("a.log", "3\n");
    let mut events = Vec::new();
    for at in 1..4 {
        f.let_go(&Wanted::new(), at, &mut events);
    }
    assert_eq!(events, []);
    assert_eq!([lines(&mut f), lines(&mut f)].concat(), ["2", "3"]);
}

/// Two targets of a job that give one file's lines other labels both read it; the same twice is one.
#[test]
fn targets_with_other_labels_read_the_same_file() {
    let d = Folder::new("twice");
    d.append("a.log", "1\n");
    let mut f = Files::new(Known::default(), Arc::default());
    let with = |value: &str, pattern: &str| Target {
        labels: [("app".to_owned(), value.to_owned())].into(),
        ..target(d.0.join(pattern), Manner::default())
    };
    let all = [with("x", "a.log"), with("y", "*.log"), with("x", "*")];
    f.set_targets(all.to_vec());
    f.refresh(0, &mut Vec::new());
    let seen = |f: &mut Files| {
        let all = read(f).into_iter();
        let all = all.map(|e| format!("{} {}", e.labels["app"], e.line));
        // Whose turn is first changes.
        all.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(seen(&mut f), ["x 1", "y 1"]);
    let saved = f.positions();
    assert_eq!(saved.offsets.len(), 1);
    d.append("a.log", "2\n");
    // The one that is left goes on, whichever it was; the other one ends with the next look.
    f.set_targets(all[1..2].to_vec());
    f.refresh(1, &mut Vec::new());
    assert_eq!(seen(&mut f), ["x 2", "y 2"]);
    f.refresh(2, &mut Vec::new());
    d.append("a.log", "3\n");
    assert_eq!(seen(&mut f), ["y 3"]);
    // Nobody names it for a while: its place is kept.
    f.set_targets(Vec::new());
    f.refresh(3, &mut Vec::new());
    assert!(seen(&mut f).is_empty());
    let mut events = Vec::new();
    f.refresh(4, &mut events);
    assert_eq!(events, [Event::Stopped(d.0.join("a.log"))]);
    let mut again = Files::new(f.positions(), Arc::default());
    again.set_targets(all.to_vec());
    again.refresh(5, &mut Vec::new());
    d.append("a.log", "4\n");
    assert_eq!(seen(&mut again), ["x 4", "y 4"]);
    f.set_targets(all[..1].to_vec());
    f.refresh(6, &mut Vec::new());
    assert_eq!(seen(&mut f), ["x 4"]);
}

#[test]
fn lines_of_two_bytes_a_letter() {
    let d = Folder::new("wide");
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let write = |text: &str| {
        let path = d.0.join("a.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().write_all(&wide(text)).unwrap();
    };
    write("\u{feff}eins\nzw");
    let files = |known| {
        let mut f = Files::new(known, Arc::default());
        let charset = Charset::named("utf-16").unwrap();
        let manner = Manner {
            charset,
            packing: None,
        };
        f.set_targets(vec![target(d.0.join("a.log"), manner)]);
        f.refresh(0, &mut Vec::new());
        f
    };
    let mut f = files(Known::default());
    assert_eq!(lines(&mut f), ["eins"]);
    write("\u{f6}lf\n");
    assert_eq!(lines(&mut f), ["zw\u{f6}lf"]);
    let known = f.positions();
    write("drei\n");
    assert_eq!(lines(&mut files(known)), ["drei"]);
}

#[test]
fn compressed_files_are_read_once_by_the_number_of_the_line() {
    let d = Folder::new("packed");
    let text = b"1\r\n2\n\n3";
    let level = flate2::Compression::fast();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), level);
    gz.write_all(text).unwrap();
    let gz = gz.finish().unwrap();
    let mut z = flate2::write::ZlibEncoder::new(Vec::new(), level);
    z.write_all(text).unwrap();
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(text).unwrap();
    let all = [
        ("gz", gz.clone()),
        ("z", z.finish().unwrap()),
        ("bz2", bz2.finish().unwrap()),
    ];
    let manner = |format: &str, delay| Manner {
        charset: Charset::Utf8,
        packing: Some(Packing {
            format: Format::named(format).unwrap(),
            delay,
        }),
    };
    let files = |name: &str, known, delay| {
        let mut f = Files::new(known, Arc::default());
        let format = name.rsplit_once('.').unwrap().1;
        f.set_targets(vec![target(d.0.join(name), manner(format, delay))]);
        f.refresh(0, &mut Vec::new());
        f
    };
    for (format, bytes) in &all {
        let name = format!("a.{format}");
        fs::write(d.0.join(&name), bytes).unwrap();
        let mut f = files(&name, Known::default(), Default::default());
        assert_eq!(lines(&mut f), ["1", "2", "", "3"], "{format}");
        assert!(lines(&mut f).is_empty());
        let known = f.positions();
        let path = d.0.join(&name).to_string_lossy().into_owned();
        assert_eq!(known.offsets[&path], "4");
        assert!(lines(&mut files(&name, known, Default::default())).is_empty());
        // As Promtail may have left it, without a record.
        let known = Known {
            offsets: BTreeMap::from([(path, "2".into())]),
            ..Known::default()
        };
        assert_eq!(
            lines(&mut files(&name, known, Default::default())),
            ["", "3"]
        );
    }
    // A longer file, of several members, goes on behind what is done.
    let mut f = files("a.gz", Known::default(), Default::default());
    assert_eq!(lines(&mut f).len(), 4);
    let two = [gz.as_slice(), &gz].concat();
    fs::write(d.0.join("a.gz"), two).unwrap();
    assert_eq!(lines(&mut f), ["2", "", "3"]);
    // Not before its time.
    let mut f = files("a.gz", Known::default(), std::time::Duration::from_secs(1));
    assert!(lines(&mut f).is_empty());
    let mut out = Vec::new();
    f.read(
        2_000_000_000,
        &|_| true,
        &mut |_, e| out.push(e),
        &mut Vec::new(),
    );
    assert_eq!(out.len(), 7);
    // What is damaged is told.
    fs::write(d.0.join("b.gz"), &gz[..gz.len() - 9]).unwrap();
    let mut f = files("b.gz", Known::default(), Default::default());
    let mut events = Vec::new();
    f.read(1, &|_| true, &mut |_, _| (), &mut events);
    assert!(
        matches!(events.as_slice(), [Event::Failed(..)]),
        "{events:?}"
    );
    f.read(1, &|_| true, &mut |_, _| (), &mut events);
    assert_eq!(events.len(), 1);
}

/// A link, as container runtimes make them: what it led to was rotated while nobody looked.
#[test]
fn what_a_link_led_to_is_found_after_its_rotation() {
    let d = Folder::new("link");
    fs::create_dir(d.0.join("pod")).unwrap();
    std::os::unix::fs::symlink(d.0.join("pod/0.log"), d.0.join("a.log")).unwrap();
    d.append("pod/0.log", "1\n");
    let mut f = d.files(Known::default());
    let first = read(&mut f);
    let link = d.0.join("a.log").to_string_lossy().into_owned();
    assert_eq!(first[0].labels["filename"], link);
    drop(first);
    let known = f.positions();
    drop(f);
    d.append("pod/0.log", "2\n");
    d.rename("pod/0.log", "pod/0.log.20240102-030405");
    std::thread::sleep(std::time::Duration::from_millis(20));
    d.append("pod/0.log", "3\n");
    assert_eq!(lines(&mut d.files(known)), ["2", "3"]);
}

//! Tables survive crashes, in one piece.

use std::path::Path;
use std::sync::Arc;

use crate::io::Fs;
use crate::io::sim::SimFs;

use super::{Store, StoreOptions};
use crate::state::Change;

fn open(fs: &Arc<SimFs>) -> Store {
    let opts = StoreOptions::without_threads(Arc::clone(fs) as Arc<dyn Fs>);
    Store::open(Path::new("/s"), opts).expect("opens")
}

#[test]
fn values_survive_restarts_with_and_without_a_checkpoint() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    s.state.put("a", b"k", b"1").expect("stored");
    s.state.put("a", b"k", b"2").expect("stored");
    s.state.put("b", b"gone", b"x").expect("stored");
    s.state.checkpoint().expect("written");
    s.state.remove("b", b"gone").expect("removed");
    s.state.put("b", b"kept", b"y").expect("stored");
    let both = [
        Change {
            table: "c",
            key: b"1",
            value: Some(b"v"),
        },
        Change {
            table: "c",
            key: b"2",
            value: Some(b"w"),
        },
    ];
    let end = s.state.change(&both).expect("changed");
    s.state.wait_durable(end).expect("durable");
    for clean in [false, true, true] {
        if clean {
            s.close().expect("closed");
        }
        let again = open(&fs);
        assert_eq!(again.state.get("a", b"k").as_deref(), Some(&b"2"[..]));
        assert_eq!(again.state.get("b", b"gone"), None);
        assert_eq!(again.state.get("b", b"kept").as_deref(), Some(&b"y"[..]));
        assert_eq!(again.state.list("c").len(), 2);
        assert_eq!(again.state.corruptions(), 0);
    }
}

#[test]
fn tenants_keep_their_numbers() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    let a = s.state.tenant("team-a").expect("numbered");
    let b = s.state.tenant("team-b").expect("numbered");
    assert_ne!(a, b);
    assert_eq!(s.state.tenant("team-a").expect("known"), a);
    let again = open(&fs);
    assert_eq!(again.state.known_tenant("team-b"), Some(b));
    assert_eq!(again.state.known_tenant("nobody"), None);
    let all = [("team-a".to_owned(), a), ("team-b".to_owned(), b)];
    assert_eq!(again.state.tenants(), all);
}

#[test]
fn a_damaged_file_is_put_aside_and_counted() {
    let fs = Arc::new(SimFs::new());
    let s = open(&fs);
    s.state.put("a", b"k", b"1").expect("stored");
    s.state.checkpoint().expect("written");
    s.close().expect("closed");
    let path = Path::new("/s/state/TABLES");
    let bytes = crate::io::FsExt::read_all(&*fs, path, 1 << 20).expect("read");
    for at in 0..bytes.len() {
        let copy = Arc::new(fs.kill());
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        copy.tamper(path, bad);
        // A later version is refused, everything else put aside.
        if at == 8 || at == 9 {
            continue;
        }
        let again = open(&copy);
        assert_eq!(again.state.corruptions(), 1, "byte {at}");
    }
}

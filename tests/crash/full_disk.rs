//! A disk that fills up under load: writes are refused with 503, reads go on, and freeing space
//! restores writes without a restart.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::harness::{SERIES, Writer, start, writers};
use crate::support::{PATIENCE, TempDir, until, wait};

/// A mounted tmpfs, unmounted on drop.
struct Tmpfs<'a>(&'a Path);

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.0).status();
        if !done.is_ok_and(|s| s.success()) {
            eprintln!("{} could not be unmounted", self.0.display());
        }
    }
}

fn mount(dir: &Path) -> Option<Tmpfs<'_>> {
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
        .arg(dir)
        .stderr(std::process::Stdio::null())
        .status();
    done.is_ok_and(|s| s.success()).then_some(Tmpfs(dir))
}

#[test]
fn full_disk_refuses_writes_and_recovers_by_itself() {
    let dir = TempDir::new();
    let disk = dir.path().join("disk");
    std::fs::create_dir_all(&disk).expect("mount point");
    let Some(_tmpfs) = mount(&disk) else {
        println!("skipped: a tmpfs cannot be mounted here (needs root)");
        return;
    };
    // What an operator will delete; the store has the rest.
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1u8; 56 << 20]).expect("ballast");
    let data = disk.join("data");
    let server = start(&data);
    let writers = writers();
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = writers
        .iter()
        .map(|w| w.spawn(&server.address, &stop))
        .collect();
    let refused = |w: &Writer| w.progress.refused.load(Ordering::Relaxed);
    let total = |f: &dyn Fn(&Writer) -> u64| writers.iter().map(f).sum::<u64>();
    wait("a full disk", || writers.iter().all(|w| refused(w) >= 20));
    // Full: reads go on, and everything acknowledged is there.
    assert_eq!(server.get("/api/v1/labels").status, 200);
    let at_full: Vec<u64> = writers.iter().map(Writer::acked).collect();
    for w in &writers {
        w.verify(&server.address, w.acked().saturating_sub(1000));
    }
    std::fs::remove_file(&ballast).expect("free space");
    let freed = Instant::now();
    for (w, before) in writers.iter().zip(&at_full) {
        until("writes to come back", || {
            (w.acked() > before + 3).then_some(())
        });
    }
    let back = freed.elapsed();
    assert!(back < PATIENCE);
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().expect("a writer");
    }
    server.kill();
    let server = start(&data);
    for w in &writers {
        w.verify(&server.address, 0);
    }
    server.kill();
    println!(
        "disk full after {} samples and lines, {} requests refused, writes back {} ms after space \
         was freed, {} acknowledged in all, 0 lost",
        at_full.iter().sum::<u64>() * SERIES,
        total(&refused),
        back.as_millis(),
        total(&Writer::acked) * SERIES
    );
}

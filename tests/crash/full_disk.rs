//! A disk that fills up under load: writes are refused with 503, reads go on, and freeing space
//! restores writes without a restart.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Progress, SERIES, Server, WRITERS, call, free_port, temp_dir, verify, write};

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
    let dir = temp_dir("full-disk");
    let disk = dir.join("disk");
    std::fs::create_dir_all(&disk).expect("mount point");
    let Some(_tmpfs) = mount(&disk) else {
        println!("skipped: a tmpfs cannot be mounted here (needs root)");
        return;
    };
    // What an operator will delete; the store has the rest.
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1u8; 56 << 20]).expect("ballast");
    let port = free_port();
    let mut server = Server::start(&disk.join("data"), port);
    server.ready();
    let progress: Vec<Arc<Progress>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = progress
        .iter()
        .enumerate()
        .map(|(w, p)| {
            let (p, stop) = (Arc::clone(p), Arc::clone(&stop));
            std::thread::spawn(move || write(port, w as u64, &p, &stop))
        })
        .collect();
    let refused = |p: &Progress| p.refused.load(Ordering::Relaxed);
    let total = |f: &dyn Fn(&Progress) -> u64| progress.iter().map(|p| f(p)).sum::<u64>();
    let acked = |p: &Progress| p.acked.load(Ordering::Relaxed);
    let deadline = Instant::now() + Duration::from_secs(120);
    while progress.iter().any(|p| refused(p) < 20) {
        assert!(
            Instant::now() < deadline,
            "the disk never filled: {} acked",
            total(&acked)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // Full: reads go on, and everything acknowledged is there.
    let mut c = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (status, _) = call(&mut c, "GET", "/api/v1/labels", &[]).expect("labels");
    assert_eq!(status, 200);
    let at_full = total(&acked);
    for (w, p) in progress.iter().enumerate() {
        verify(port, w as u64, p, acked(p).saturating_sub(1000));
    }
    std::fs::remove_file(&ballast).expect("free space");
    let freed = Instant::now();
    while total(&acked) < at_full + 3 * WRITERS {
        assert!(
            freed.elapsed() < Duration::from_secs(120),
            "writes did not come back in 120 s"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let back = freed.elapsed();
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    for w in writers {
        w.join().expect("writer");
    }
    server.kill();
    let port = free_port();
    let mut server = Server::start(&disk.join("data"), port);
    server.ready();
    for (w, p) in progress.iter().enumerate() {
        verify(port, w as u64, p, 0);
    }
    server.kill();
    println!(
        "disk full after {} samples, {} requests refused, writes back {} ms after space was freed, \
         {} samples acknowledged in all, 0 lost",
        at_full * SERIES,
        total(&refused),
        back.as_millis(),
        total(&acked) * SERIES
    );
}

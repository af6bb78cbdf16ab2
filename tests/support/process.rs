//! The real binary as a child process, in a directory of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::client::Request;
use super::{PATIENCE, until};

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock");
    i64::try_from(since.as_millis()).expect("a sane clock")
}

/// A directory that is removed when dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// A new empty directory.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sextant-test-{}-{n}-{}", std::process::id(), now_ms());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        Self(dir)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and gives its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let file = self.0.join(name);
        if let Some(d) = file.parent() {
            std::fs::create_dir_all(d).expect("a directory");
        }
        std::fs::write(&file, text).expect("a writable directory");
        file.to_string_lossy().into_owned()
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// Its directory.
    pub(crate) dir: TempDir,
    log: Arc<Mutex<Vec<String>>>,
}

/// The binary under test: `$SEXTANT_BINARY`, or the one that was built with the test.
pub(crate) fn binary() -> Command {
    let built = || env!("CARGO_BIN_EXE_sextant").into();
    Command::new(std::env::var_os("SEXTANT_BINARY").unwrap_or_else(built))
}

impl Server {
    /// Starts `sextant prometheus` with an empty configuration and `flags`; waits until it is
    /// ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::with_config("", flags)
    }

    /// The same without waiting, for servers that do not answer at the usual place.
    pub(crate) fn start_unready(flags: &[&str]) -> Self {
        let dir = TempDir::new();
        dir.write("prometheus.yml", "");
        Self::launch(dir, flags)
    }

    /// The same with the configuration `yaml`.
    pub(crate) fn with_config(yaml: &str, flags: &[&str]) -> Self {
        let dir = TempDir::new();
        dir.write("prometheus.yml", yaml);
        let server = Self::launch(dir, flags);
        server.wait_ready();
        server
    }

    /// Starts it in `dir` (which holds `prometheus.yml`); waits until it listens.
    pub(crate) fn launch(dir: TempDir, flags: &[&str]) -> Self {
        let mut command = binary();
        command
            .arg("prometheus")
            .arg(format!(
                "--config.file={}",
                dir.path().join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(flags);
        Self::spawn(dir, command)
    }

    /// Starts `sextant loki` with the configuration `yaml` (without addresses); waits until it is
    /// ready. Times are printed in UTC.
    pub(crate) fn loki(yaml: &str) -> Self {
        let dir = TempDir::new();
        dir.write("loki-config.yml", yaml);
        Self::loki_in(dir)
    }

    /// Kills a server of [`Server::loki`] as `kill -9` does and starts it again on its data.
    pub(crate) fn restart(mut self) -> Self {
        let dir = std::mem::take(&mut self.dir);
        drop(self);
        Self::loki_in(dir)
    }

    fn loki_in(dir: TempDir) -> Self {
        let file = dir.path().join("loki-config.yml").display().to_string();
        let mut command = binary();
        command
            .env("TZ", "UTC")
            .arg("loki")
            .arg(format!("-config.file={file}"))
            .arg(format!(
                "-common.path-prefix={}",
                dir.path().join("data").display()
            ))
            .arg("-server.http-listen-address=127.0.0.1")
            .arg("-server.http-listen-port=0");
        let server = Self::spawn(dir, command);
        server.wait_for("/ready", 200);
        server
    }

    /// Starts `command`, whose files are the caller's; waits until it listens.
    pub(crate) fn run(command: Command) -> Self {
        Self::spawn(TempDir::new(), command)
    }

    /// Ends a server of [`Server::launch`] as `kill -9` does and starts it again on its data; waits
    /// until it is ready.
    pub(crate) fn relaunch(mut self, flags: &[&str]) -> Self {
        let dir = std::mem::take(&mut self.dir);
        drop(self);
        let again = Self::launch(dir, flags);
        again.wait_ready();
        again
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn spawn(dir: TempDir, mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("its standard error"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (found, address) = std::sync::mpsc::channel();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.contains("msg=listening")
                    && let Some((_, a)) = line.split_once("address=")
                {
                    drop(found.send(a.to_owned()));
                }
                kept.lock().expect("the log").push(line);
            }
        });
        let address = address.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            drop(child.kill());
            panic!("no listener: {:?}", log.lock().expect("the log"))
        });
        Self {
            child,
            address,
            dir,
            log,
        }
    }

    /// Waits until it answers 200 on `/-/ready`.
    pub(crate) fn wait_ready(&self) {
        self.wait_for("/-/ready", 200);
    }

    /// Waits until it answers `status` on `path`.
    pub(crate) fn wait_for(&self, path: &str, status: u16) {
        let deadline = Instant::now() + PATIENCE;
        while self.get(path).status != status {
            assert!(
                Instant::now() < deadline,
                "{path} never answered {status}: {:?}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lines it has logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("the log").clone()
    }

    /// A request to it.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(&self.address, method, target)
    }

    /// GET.
    pub(crate) fn get(&self, target: &str) -> super::Answer {
        self.request("GET", target).send()
    }

    /// GET with parameters.
    pub(crate) fn query(&self, path: &str, pairs: &[(&str, &str)]) -> super::Answer {
        self.get(&format!("{path}?{}", super::client::query(pairs)))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status();
        assert!(sent.expect("kill(1)").success());
    }

    /// Ends it with SIGTERM and gives its exit code and directory.
    pub(crate) fn stop(mut self) -> (Option<i32>, TempDir) {
        self.signal("TERM");
        let code = self.wait();
        let dir = std::mem::take(&mut self.dir);
        (code, dir)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let status = until("the server's end", || {
            self.child.try_wait().expect("a child")
        });
        status.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

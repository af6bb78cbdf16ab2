//! A mail server that takes everything: what came is kept.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A mail as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    /// Envelope: from.
    pub(crate) from: String,
    /// Envelope: to.
    pub(crate) to: Vec<String>,
    /// What was sent to log in.
    pub(crate) login: String,
    /// Headers and body.
    pub(crate) text: String,
}

impl Mail {
    /// A header's value, with folded lines joined.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or("");
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let lines = head.split("\r\n").filter_map(|l| l.split_once(':'));
        let mut own = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        own.next()
            .map_or(String::new(), |(_, v)| v.trim().to_owned())
    }
}

/// The server.
pub(crate) struct MailServer {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    came: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// Listens on a port of its own.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let came = Arc::new(Mutex::new(Vec::new()));
        let kept = came.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || drop(serve(&stream, &kept)));
            }
        });
        Self { address, came }
    }

    /// All mails so far.
    pub(crate) fn all(&self) -> Vec<Mail> {
        self.came.lock().expect("what came").clone()
    }
}

fn serve(stream: &TcpStream, came: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut out = stream;
    let mut mail = Mail::default();
    out.write_all(b"220 test\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?;
        let word = line
            .split([' ', ':'])
            .next()
            .unwrap_or("")
            .to_ascii_uppercase();
        let inside = |l: &str| {
            let from = l.find('<').map_or(0, |i| i + 1);
            l[from..].trim_end_matches('>').to_owned()
        };
        let answer = match word.as_str() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN",
            "AUTH" => {
                mail.login = line;
                "235 ok"
            }
            "MAIL" => {
                mail.from = inside(&line);
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(inside(&line));
                "250 ok"
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                for l in lines.by_ref() {
                    let l = l?;
                    if l == "." {
                        break;
                    }
                    mail.text.push_str(&l);
                    mail.text.push_str("\r\n");
                }
                came.lock()
                    .expect("what came")
                    .push(std::mem::take(&mut mail));
                "250 ok"
            }
            "QUIT" => {
                return out.write_all(b"221 bye\r\n");
            }
            _ => "250 ok",
        };
        out.write_all(answer.as_bytes())?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

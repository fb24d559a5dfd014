//! The least that any client can do: follows the cursors of list_snapshot, then of document_deltas, one page after
//! another on one connection, and throws the pages away. What a sync takes longer than this is its own doing. Standard
//! library only: `rustc -O follow.rs && ./follow PORT`. Prints pages and bytes.
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

struct Connection {
    input: BufReader<TcpStream>,
    body: Vec<u8>,
    pages: u64,
    bytes: u64,
}

impl Connection {
    /// The end of the answer, where `cursor` and `hasMore` are.
    fn get(&mut self, target: &str) -> Result<String> {
        let output = self.input.get_mut();
        write!(output, "GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Convex bench|key\r\n\r\n")?;
        let (mut line, mut length, mut status) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if self.input.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let header = line.trim().to_ascii_lowercase();
            if status.is_empty() {
                status = header;
            } else if header.is_empty() {
                break;
            } else if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        self.body.resize(length, 0);
        self.input.read_exact(&mut self.body)?;
        if !status.contains(" 200 ") {
            return Err(Error::other(format!("{target}: {status}")));
        }
        self.pages += 1;
        self.bytes += length as u64;
        Ok(String::from_utf8_lossy(&self.body[length.saturating_sub(100)..]).into_owned())
    }
}

/// The number after `key`, in quotes or not; None for null.
fn number(tail: &str, key: &str) -> Option<u64> {
    let rest = &tail[tail.rfind(key)? + key.len()..];
    rest.trim_start_matches(['"', ':']).split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| {
        eprintln!("usage: follow PORT");
        std::process::exit(2)
    });
    let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    stream.set_nodelay(true)?;
    let mut connection = Connection { input: BufReader::new(stream), body: Vec::new(), pages: 0, bytes: 0 };
    let mut tail = connection.get("/api/list_snapshot?format=convex_encoded_json")?;
    let snapshot = number(&tail, "\"snapshot\"").ok_or_else(|| Error::other("no snapshot in the answer"))?;
    while let Some(cursor) = number(&tail, "\"cursor\"") {
        tail = connection
            .get(&format!("/api/list_snapshot?format=convex_encoded_json&snapshot={snapshot}&cursor={cursor}"))?;
    }
    let mut cursor = snapshot;
    loop {
        tail = connection.get(&format!("/api/document_deltas?format=convex_encoded_json&cursor={cursor}"))?;
        cursor = number(&tail, "\"cursor\"").ok_or_else(|| Error::other("no cursor in the answer"))?;
        if tail.ends_with("\"hasMore\":false}") {
            break;
        }
    }
    println!("{} pages, {} bytes", connection.pages, connection.bytes);
    Ok(())
}

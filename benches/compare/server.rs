//! Serves the pages that `gen` wrote, on 127.0.0.1, as a deployment would and with next to no CPU of its own, so that
//! what is measured is the client. Standard library only: `rustc -O server.rs`. Not the simulation of the library, which
//! is faithful where this is fast.
//!
//! ```text
//! server DATA_DIR SNAPSHOT DELTAS DELAY_MS
//! SNAPSHOT  snap, or none: list_snapshot answers at once with no document, at a `_ts` before all deltas
//! DELTAS    mixed, many, later, or none: the change log is empty
//! DELAY_MS  before every answer
//! ```
//! Prints the port that it listens on. Any Authorization is accepted; `format` is ignored: pages are convex_encoded_json.
//! Selections are refused.
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Just before the first `_ts` of the deltas that `gen` writes.
const EMPTY_SNAPSHOT: u64 = 1_790_000_000_000_000_000;

struct Pages {
    snapshot: Option<String>,
    deltas: String,
    delay: Duration,
    /// The cursor at the end of every page of deltas.
    ends: Vec<u64>,
}

fn ends(dir: &str) -> Vec<u64> {
    let end = |n: usize| -> Option<u64> {
        let mut page = File::open(format!("{dir}/{n:06}.json")).ok()?;
        let mut tail = String::new();
        page.seek(SeekFrom::End(-60)).ok()?;
        page.read_to_string(&mut tail).ok()?;
        number_after(&tail, "\"cursor\":").parse().ok()
    };
    (0..).map_while(end).collect()
}

/// The digits after the last `key`, past a quote or an equals sign.
fn number_after(text: &str, key: &str) -> String {
    let rest = text.rfind(key).map_or("", |at| &text[at + key.len()..]);
    rest.trim_start_matches(['"', ':', '=', ' ']).chars().take_while(char::is_ascii_digit).collect()
}

fn answer(pages: &Pages, path: &str, arguments: &str) -> (u16, Vec<u8>) {
    let file = |dir: &str, n: usize| match std::fs::read(format!("{dir}/{n:06}.json")) {
        Ok(page) => (200, page),
        Err(_) => (404, br#"{"code":"NoPage","message":"no such page"}"#.to_vec()),
    };
    let text = |body: &str| (200, body.as_bytes().to_vec());
    // The cursor is the only argument that matters here: a small number, in a query or in a JSON body.
    let cursor = number_after(arguments, "cursor");
    match path {
        // As servers say it that know no selection: a whole page would be an answer to another question.
        "/api/list_snapshot" if arguments.contains("\"included\"") => {
            (405, br#"{"code":"MethodNotAllowed","message":"no selections here"}"#.to_vec())
        }
        "/api/list_snapshot" => match &pages.snapshot {
            Some(dir) => file(dir, cursor.parse().unwrap_or(0)),
            None => text(&format!(r#"{{"values":[],"snapshot":{EMPTY_SNAPSHOT},"cursor":null,"hasMore":false}}"#)),
        },
        "/api/document_deltas" => {
            let after: u64 = cursor.parse().unwrap_or(0);
            match pages.ends.partition_point(|end| *end <= after) {
                n if n < pages.ends.len() => file(&pages.deltas, n),
                _ => text(&format!(r#"{{"values":[],"cursor":{after},"hasMore":false}}"#)),
            }
        }
        "/api/json_schemas" => text("{}"),
        "/api/get_table_column_names" => text(r#"{"byComponent":{}}"#),
        "/api/test_streaming_export_connection" => text("null"),
        _ => (404, br#"{"code":"NotFound","message":"no such route"}"#.to_vec()),
    }
}

fn serve(stream: TcpStream, pages: &Pages) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or("/").to_string();
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        std::thread::sleep(pages.delay);
        let (code, page) = answer(pages, path, if body.is_empty() { query } else { &body });
        let reason = match code {
            200 => "OK",
            405 => "Method Not Allowed",
            _ => "Not Found",
        };
        let length = page.len();
        write!(out, "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")?;
        out.write_all(&page)?;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, snapshot, deltas, delay] = &arguments[..] else {
        eprintln!("usage: server DATA_DIR snap|none mixed|many|later|none DELAY_MS");
        std::process::exit(2);
    };
    let deltas = format!("{dir}/{deltas}");
    let pages = Arc::new(Pages {
        snapshot: (snapshot != "none").then(|| format!("{dir}/{snapshot}")),
        ends: ends(&deltas),
        deltas,
        delay: Duration::from_millis(delay.parse().expect("DELAY_MS is a number")),
    });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    for stream in listener.incoming().flatten() {
        let pages = Arc::clone(&pages);
        // A client that goes away is no concern of the server.
        std::thread::spawn(move || drop(serve(stream, &pages)));
    }
}

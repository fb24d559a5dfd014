//! Deterministic documents for `benches/compare`, as a deployment would send them and as the peers read them. Standard
//! library only: `rustc -O gen.rs`. Never part of the library; the text is drawn from a short list of words and the ids
//! are valid Convex ids, so the documents compress a little better than real ones.
//!
//! ```text
//! gen OUT_DIR SCALE KIND[,KIND…]      SCALE 1 = 2,000,000 documents, about 1 GB of JSON, in six tables
//! ndjson  OUT_DIR/ndjson/TABLE.ndjson   one document a line, plain JSON (int64 as text, bytes as base64 text): for the peers
//! snap    OUT_DIR/snap/NNNNNN.json      list_snapshot pages, convex_encoded_json, fields in the order of the real server,
//!                                       one table a page
//! mixed   OUT_DIR/mixed/NNNNNN.json     document_deltas pages: the same documents, tables interleaved, `_ts` ascending
//! many    OUT_DIR/many/NNNNNN.json      the same with each table dealt out into 84: 504 tables interleaved
//! later   OUT_DIR/later/NNNNNN.json     half as many later revisions of random documents of them, each twentieth a tombstone
//! ```
//! A page has 1,024 documents. Each kind prints one line: its name, bytes of its files.
use std::fs::{self, File};
use std::io::{BufWriter, Write};

mod documents;
use documents::{seed, Documents, Form, Rng, TABLES};

const PAGE: usize = 1024;
struct Pages {
    dir: String,
    n: usize,
    buf: Vec<u8>,
    docs: usize,
    last: u64,
    bytes: u64,
}
impl Pages {
    fn new(dir: String) -> Self {
        fs::create_dir_all(&dir).unwrap();
        Pages { dir, n: 0, buf: b"{\"values\":[".to_vec(), docs: 0, last: 0, bytes: 0 }
    }
    fn push(&mut self, d: &[u8], cursor: u64) {
        // a full page is written when the next document comes, so that the last page says that it is the last
        if self.docs == PAGE {
            self.flush(true, self.last);
        }
        if self.docs > 0 {
            self.buf.push(b',');
        }
        self.buf.extend_from_slice(d);
        self.docs += 1;
        self.last = cursor;
    }
    /// `cursor` 0: a list_snapshot page, whose cursor is the number of the next page
    fn flush(&mut self, more: bool, cursor: u64) {
        if cursor > 0 {
            write!(self.buf, "],\"cursor\":{cursor},\"hasMore\":{more}}}").unwrap();
        } else if more {
            write!(self.buf, "],\"snapshot\":1790000000000000000,\"cursor\":\"{}\",\"hasMore\":true}}", self.n + 1)
                .unwrap();
        } else {
            write!(self.buf, "],\"snapshot\":1790000000000000000,\"cursor\":null,\"hasMore\":false}}").unwrap();
        }
        fs::write(format!("{}/{:06}.json", self.dir, self.n), &self.buf).unwrap();
        self.bytes += self.buf.len() as u64;
        self.n += 1;
        self.docs = 0;
        self.buf.clear();
        self.buf.extend_from_slice(b"{\"values\":[");
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    if a.len() != 4 {
        eprintln!("usage: gen OUT_DIR SCALE KIND[,KIND...]   kinds: ndjson snap mixed many later");
        std::process::exit(2);
    }
    let (out, scale) = (a[1].as_str(), a[2].parse::<u64>().expect("SCALE is a number"));
    let documents = Documents::new();
    for kind in a[3].split(',') {
        let bytes = match kind {
            "ndjson" => ndjson(out, scale, &documents),
            "snap" => snapshot(out, scale, &documents),
            "mixed" => deltas(&format!("{out}/mixed"), scale, 1, &documents),
            "many" => deltas(&format!("{out}/many"), scale, 84, &documents),
            "later" => later(&format!("{out}/later"), scale, &documents),
            other => {
                eprintln!("unknown kind {other}");
                std::process::exit(2);
            }
        };
        println!("{kind} {bytes} bytes");
    }
}


fn ndjson(out: &str, scale: u64, documents: &Documents) -> u64 {
    fs::create_dir_all(format!("{out}/ndjson")).unwrap();
    let mut bytes = 0;
    for (t, (name, n)) in TABLES.iter().enumerate() {
        let (mut r, mut b) = (seed(t), Vec::new());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(format!("{out}/ndjson/{name}.ndjson")).unwrap());
        for i in 0..n * scale {
            b.clear();
            documents.write(&mut b, t, i, &mut r, Form::Plain);
            b.push(b'\n');
            bytes += b.len() as u64;
            file.write_all(&b).unwrap();
        }
        file.flush().unwrap();
    }
    bytes
}

fn snapshot(out: &str, scale: u64, documents: &Documents) -> u64 {
    let mut pages = Pages::new(format!("{out}/snap"));
    for (t, (_, n)) in TABLES.iter().enumerate() {
        let (mut r, mut b) = (seed(t), Vec::new());
        for i in 0..n * scale {
            b.clear();
            documents.write(&mut b, t, i, &mut r, Form::Snapshot);
            pages.push(&b, 0);
        }
        pages.flush(t + 1 < TABLES.len(), 0);
    }
    pages.bytes
}

fn deltas(dir: &str, scale: u64, tables: u64, documents: &Documents) -> u64 {
    let mut pages = Pages::new(dir.to_string());
    let mut source: Vec<(Rng, u64, u64)> =
        TABLES.iter().enumerate().map(|(t, (_, n))| (seed(t), n * scale, 0)).collect();
    let mut left: u64 = source.iter().map(|s| s.1).sum();
    let (mut r, mut ts, mut b) = (Rng(7), 1_790_000_000_000_000_000u64, Vec::new());
    while left > 0 {
        let mut k = r.below(left);
        let mut t = 0;
        while k >= source[t].1 {
            k -= source[t].1;
            t += 1;
        }
        ts += 1 + r.below(50_000_000);
        let (rng, rest, i) = &mut source[t];
        b.clear();
        documents.write(&mut b, t, *i, rng, Form::Delta(ts, tables));
        pages.push(&b, ts);
        *rest -= 1;
        *i += 1;
        left -= 1;
    }
    pages.flush(false, ts);
    pages.bytes
}

fn later(dir: &str, scale: u64, documents: &Documents) -> u64 {
    let mut pages = Pages::new(dir.to_string());
    let all: u64 = TABLES.iter().map(|(_, n)| n * scale).sum();
    let (mut r, mut ts, mut b) = (Rng(11), 1_790_000_000_000_000_000u64, Vec::new());
    for n in 0..all / 2 {
        let (mut t, mut i) = (0, r.below(all));
        while i >= TABLES[t].1 * scale {
            i -= TABLES[t].1 * scale;
            t += 1;
        }
        ts += 1 + r.below(50_000_000);
        b.clear();
        if n % 20 == 19 {
            documents.write_tombstone(&mut b, t, i, ts);
        } else {
            documents.write(&mut b, t, i, &mut r, Form::Delta(ts, 1));
        }
        pages.push(&b, ts);
    }
    pages.flush(false, ts);
    pages.bytes
}

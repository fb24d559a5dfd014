//! The documents themselves: six table shapes, deterministic, spelled as a deployment sends them or as plain JSON. Used by
//! `gen.rs` for the comparison and by the benches of the stages. Standard library only.
use std::io::Write;

/// splitmix64
pub struct Rng(pub u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.next() as u128 * n as u128) >> 64) as u64
    }
    fn chance(&mut self, pct: u64) -> bool {
        self.below(100) < pct
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    /// skewed towards 0 (roughly Zipf)
    fn zipf(&mut self, n: u64) -> u64 {
        let u = self.unit();
        ((u * u * u) * n as f64) as u64
    }
}
const WORDS: &str = "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part over new sound take only little work know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too mean old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask went men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found study still learn should America world deploy rollback incident latency throughput schema migration snapshot cursor shard replica quorum commit branch merge review approve reject invoice payment refund shipment warehouse carrier";
const B32: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
const B64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// a valid Convex id, a function of (prefix, seed): references repeat, keys do not; within a table ids ascend with the seed, as list_snapshot gives them
fn id(o: &mut Vec<u8>, prefix: u8, seed: u64) {
    let mut r = Rng(seed.wrapping_mul(0x2545F4914F6CDD1D) ^ ((prefix as u64) << 56));
    let table = 10_001 + (prefix - b'j') as u16;
    let mut x = [0u8; 20];
    x[0] = (table & 0x7f) as u8 | 0x80;
    x[1] = (table >> 7) as u8;
    x[2..10].copy_from_slice(&(seed << 40 | r.next() >> 24).to_be_bytes());
    x[10..16].copy_from_slice(&r.next().to_be_bytes()[..6]);
    x[16..18].copy_from_slice(&20_717u16.to_be_bytes());
    let (mut lo, mut hi) = (0u8, 0u8);
    for byte in &x[..18] {
        lo = lo.wrapping_add(*byte);
        hi = hi.wrapping_add(lo);
    }
    x[18] = lo;
    x[19] = hi;
    o.push(b'"');
    for c in x.chunks(5) {
        let n = c.iter().fold(0u64, |n, byte| n << 8 | *byte as u64);
        for k in 0..8 {
            o.push(B32[(n >> (35 - 5 * k)) as usize & 31]);
        }
    }
    o.push(b'"');
}
fn f(o: &mut Vec<u8>, x: f64) {
    write!(o, "{:?}", x).unwrap();
}
fn s(o: &mut Vec<u8>, x: &str) {
    o.push(b'"');
    o.extend_from_slice(x.as_bytes());
    o.push(b'"');
}
fn text(o: &mut Vec<u8>, r: &mut Rng, words: &[&str], n: u64) {
    o.push(b'"');
    for i in 0..n {
        if i > 0 {
            if r.chance(2) {
                o.extend_from_slice(b"\\n");
            } else {
                o.push(b' ');
            }
        }
        if r.chance(1) {
            o.extend_from_slice("\\\"caf\u{e9}\\\" \u{1F600}".as_bytes());
        }
        o.extend_from_slice(words[r.zipf(words.len() as u64) as usize].as_bytes());
    }
    o.push(b'"');
}
/// Tables in the order of their names, with their documents at scale 1.
pub const TABLES: [(&str, u64); 6] = [
    ("audit_log", 300_000),
    ("blobs", 150_000),
    ("events", 350_000),
    ("messages", 900_000),
    ("orders", 200_000),
    ("users", 100_000),
];

/// How a document is spelled.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    Plain,
    Snapshot,
    /// `_ts`, and into how many tables each is dealt out
    Delta(u64, u64),
}
fn head(o: &mut Vec<u8>, t: &str, p: u8, i: u64, r: &mut Rng, form: Form) {
    let ct = 1.789e12 + i as f64 * 37.0 + (r.below(4096) as f64) / 4096.0;
    let mut ts = 1_789_000_000_000_000_000u64 + i * 37_000_000 + r.below(1_000_000);
    let mut copy = String::new();
    if let Form::Delta(now, tables) = form {
        ts = now;
        if tables > 1 {
            copy = format!("_{:03}", i % tables);
        }
    }
    write!(o, "{{\"_component\":\"\",\"_table\":\"{t}{copy}\",\"_ts\":{ts}").unwrap();
    if let Form::Delta(..) = form {
        o.extend_from_slice(b",\"_deleted\":false");
    }
    o.extend_from_slice(b",\"_creationTime\":");
    f(o, ct);
    o.extend_from_slice(b",\"_id\":");
    id(o, p, i);
}
fn int64(o: &mut Vec<u8>, x: i64, form: Form) {
    if form == Form::Plain {
        write!(o, "\"{x}\"").unwrap();
        return;
    }
    o.extend_from_slice(b"{\"$integer\":\"");
    base64(o, &x.to_le_bytes());
    o.extend_from_slice(b"\"}");
}
fn bytes(o: &mut Vec<u8>, x: &[u8], form: Form) {
    if form == Form::Plain {
        o.push(b'"');
        base64(o, x);
        o.push(b'"');
        return;
    }
    o.extend_from_slice(b"{\"$bytes\":\"");
    base64(o, x);
    o.extend_from_slice(b"\"}");
}
fn base64(o: &mut Vec<u8>, x: &[u8]) {
    for c in x.chunks(3) {
        let n = (c[0] as u32) << 16 | (*c.get(1).unwrap_or(&0) as u32) << 8 | *c.get(2).unwrap_or(&0) as u32;
        for k in 0..4 {
            o.push(if k <= c.len() { B64[(n >> (18 - 6 * k)) as usize & 63] } else { b'=' });
        }
    }
}
fn doc(o: &mut Vec<u8>, t: usize, i: u64, r: &mut Rng, w: &[&str], ev: &[(usize, String)], form: Form) {
    match t {
        3 => {
            head(o, "messages", b'j', i, r, form);
            o.extend_from_slice(b",\"author\":");
            id(o, b'k', r.zipf(100_000));
            o.extend_from_slice(b",\"body\":");
            let n = 8 + r.below(50);
            text(o, r, w, n);
            o.extend_from_slice(b",\"channel\":");
            id(o, b'n', r.zipf(3000));
            if r.chance(12) {
                o.extend_from_slice(b",\"editedAt\":");
                f(o, 1.7e12 + r.below(1 << 36) as f64);
            }
            o.extend_from_slice(b",\"pinned\":");
            o.extend_from_slice(if r.chance(2) { b"true" } else { b"false" });
            if r.chance(20) {
                o.extend_from_slice(b",\"replyTo\":");
                id(o, b'j', r.below(i + 1));
            }
        }
        5 => {
            head(o, "users", b'k', i, r, form);
            write!(o, ",\"active\":{}", r.chance(80)).unwrap();
            if r.chance(60) {
                o.extend_from_slice(b",\"balance\":");
                let x = r.next() as i64 >> r.below(40);
                int64(o, x, form);
            }
            write!(o, ",\"email\":\"user{i}@example.com\"").unwrap();
            o.extend_from_slice(b",\"loginCount\":");
            f(o, r.zipf(5000) as f64);
            o.extend_from_slice(b",\"name\":");
            text(o, r, w, 2);
            o.extend_from_slice(b",\"profile\":{\"avatarUrl\":\"https://cdn.example.com/a/");
            write!(o, "{:016x}.png\"", r.next()).unwrap();
            o.extend_from_slice(b",\"bio\":");
            let n = 10 + r.below(50);
            text(o, r, w, n);
            o.extend_from_slice(b",\"location\":{\"city\":");
            text(o, r, w, 1);
            o.extend_from_slice(b",\"country\":");
            s(o, ["US", "DE", "FR", "PL", "JP", "BR"][r.zipf(6) as usize]);
            if r.chance(30) {
                o.extend_from_slice(b",\"lat\":");
                f(o, r.unit() * 180.0 - 90.0);
                o.extend_from_slice(b",\"lon\":");
                f(o, r.unit() * 360.0 - 180.0);
            }
            o.extend_from_slice(b"}},\"roles\":[");
            for k in 0..r.below(4) {
                if k > 0 {
                    o.push(b',');
                }
                s(o, ["admin", "editor", "viewer", "billing", "owner"][r.zipf(5) as usize]);
            }
            o.push(b']');
        }
        4 => {
            head(o, "orders", b'm', i, r, form);
            o.extend_from_slice(b",\"customer\":");
            id(o, b'k', r.zipf(100_000));
            o.extend_from_slice(b",\"items\":[");
            let n = 1 + r.zipf(12);
            let mut tot = 0.0;
            for k in 0..n {
                if k > 0 {
                    o.push(b',');
                }
                let q = 1.0 + r.zipf(9) as f64;
                let p = (r.below(20000) as f64) / 100.0;
                tot += p * q;
                o.push(b'{');
                if r.chance(25) {
                    o.extend_from_slice(b"\"discount\":");
                    f(o, r.below(50) as f64 / 100.0);
                    o.push(b',');
                }
                o.extend_from_slice(b"\"name\":");
                text(o, r, w, 3);
                o.extend_from_slice(b",\"price\":");
                f(o, p);
                o.extend_from_slice(b",\"qty\":");
                f(o, q);
                write!(o, ",\"sku\":\"SKU-{:06}\"", r.zipf(50_000)).unwrap();
                o.push(b'}');
            }
            o.push(b']');
            if r.chance(70) {
                o.extend_from_slice(b",\"shipping\":{\"carrier\":");
                s(o, ["ups", "dhl", "fedex"][r.below(3) as usize]);
                write!(o, ",\"postcode\":\"{:05}\",\"street\":", r.below(99999)).unwrap();
                text(o, r, w, 3);
                o.push(b'}');
            }
            o.extend_from_slice(b",\"status\":");
            s(o, ["paid", "shipped", "delivered", "pending", "refunded"][r.zipf(5) as usize]);
            o.extend_from_slice(b",\"subtotal\":");
            f(o, tot);
            o.extend_from_slice(b",\"tax\":");
            f(o, tot * 0.19);
            o.extend_from_slice(b",\"total\":");
            f(o, tot * 1.19);
        }
        2 => {
            head(o, "events", b'p', i, r, form);
            for (k, name) in ev.iter().map(|(k, name)| (*k, name)) {
                if !r.chance(33) {
                    continue;
                }
                o.push(b',');
                o.push(b'"');
                o.extend_from_slice(name.as_bytes());
                o.extend_from_slice(b"\":");
                match k % 6 {
                    0 | 1 => {
                        write!(o, "\"v{}_{}\"", k, r.zipf(200)).unwrap();
                    }
                    2 => f(o, r.unit() * 1000.0),
                    3 => f(o, r.zipf(100_000) as f64),
                    4 => {
                        o.extend_from_slice(if r.chance(50) { b"true" } else { b"false" });
                    }
                    _ => {
                        write!(o, "\"https://app.example.com/p/{}/{:x}\"", r.zipf(400), r.below(1 << 32)).unwrap();
                    }
                }
            }
        }
        0 => {
            head(o, "audit_log", b'q', i, r, form);
            o.extend_from_slice(b",\"action\":");
            s(o, ["create", "update", "delete", "login", "export", "share"][r.zipf(6) as usize]);
            o.extend_from_slice(b",\"actor\":");
            id(o, b'k', r.zipf(100_000));
            o.extend_from_slice(b",\"payload\":");
            match r.below(3) {
                0 => {
                    let n = 3 + r.below(12);
                    text(o, r, w, n);
                }
                1 => f(o, r.unit() * 1e6),
                _ => {
                    o.extend_from_slice(b"{\"after\":");
                    f(o, r.below(1000) as f64);
                    o.extend_from_slice(b",\"before\":");
                    f(o, r.below(1000) as f64);
                    o.extend_from_slice(b",\"reason\":");
                    text(o, r, w, 4);
                    o.push(b'}');
                }
            }
            o.extend_from_slice(b",\"target\":");
            id(o, b'j', r.below(i + 1));
        }
        _ => {
            head(o, "blobs", b'r', i, r, form);
            o.extend_from_slice(b",\"contentType\":");
            s(o, ["image/png", "application/pdf", "application/octet-stream"][r.below(3) as usize]);
            let n = 60 + r.below(180);
            let data: Vec<u8> = (0..n).flat_map(|_| r.next().to_le_bytes()[..3].to_vec()).collect();
            o.extend_from_slice(b",\"data\":");
            bytes(o, &data, form);
            o.extend_from_slice(b",\"name\":");
            text(o, r, w, 2);
            o.extend_from_slice(b",\"size\":");
            f(o, (n * 3) as f64);
        }
    }
    o.push(b'}');
}
pub fn seed(table: usize) -> Rng {
    Rng(0xC0FFEE + table as u64)
}
/// What documents are drawn from.
pub struct Documents {
    words: Vec<&'static str>,
    /// The fields of `events`, sorted by name, each with its number.
    events: Vec<(usize, String)>,
}
impl Documents {
    pub fn new() -> Self {
        let name = |k| format!("{}_{:02}", ["utm", "variant", "duration_ms", "count", "is_flag", "page_url"][k % 6], k);
        let mut events: Vec<(usize, String)> = (0..60).map(|k| (k, name(k))).collect();
        events.sort_by(|a, b| a.1.cmp(&b.1));
        Documents { words: WORDS.split(' ').collect(), events }
    }
    /// Appends document `i` of table `t`. `r` is the table's own, from `seed` on.
    pub fn write(&self, o: &mut Vec<u8>, t: usize, i: u64, r: &mut Rng, form: Form) {
        doc(o, t, i, r, &self.words, &self.events, form);
    }
    /// Appends the tombstone of document `i` of table `t`.
    pub fn write_tombstone(&self, o: &mut Vec<u8>, t: usize, i: u64, ts: u64) {
        write!(o, "{{\"_component\":\"\",\"_table\":\"{}\",\"_ts\":{ts},\"_deleted\":true,\"_id\":", TABLES[t].0)
            .unwrap();
        id(o, [b'q', b'r', b'p', b'j', b'm', b'k'][t], i);
        o.push(b'}');
    }
}

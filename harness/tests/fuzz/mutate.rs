//! How inputs are changed.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use results::record::seal::SealChain;
use serde_json::{Map, Number, Value};

/// Bytes that mean something to somebody.
const PARTS: [&[u8]; 22] = [
    b"",
    b"\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[[",
    b"]",
    b",",
    b"=",
    b"null",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e308",
    b"nan",
    b"\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"9999999999999999999999s",
    b"\xe2\x80\xae",
];

const TEXTS: [&str; 14] = [
    "",
    "main",
    "random",
    "../../x",
    "\u{1b}[2J",
    "1s",
    "584942417355y",
    "18446744073709551615",
    "-1",
    "1-2",
    "all",
    "controller",
    "leader",
    "x\0y",
];

const NUMBERS: [i128; 20] = [
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    65_535,
    65_536,
    1_000_000,
    i32::MAX as i128,
    i32::MIN as i128,
    u32::MAX as i128,
    604_800_000_000_000,
    604_800_000_000_001,
    i64::MAX as i128,
    i64::MIN as i128,
    u64::MAX as i128,
    1 << 53,
];

fn pick<'a, T>(rng: &mut StdRng, list: &'a [T]) -> &'a T {
    &list[rng.random_range(0..list.len())]
}

/// Changes bytes in a few places.
pub(crate) fn bytes(rng: &mut StdRng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let length = out.len();
        let at = rng.random_range(0..=length);
        let end = (at + rng.random_range(0..64)).min(length);
        match rng.random_range(0..8) {
            0 => out.truncate(at),
            1 => drop(out.drain(at..end)),
            2 => drop(out.splice(at..end, pick(rng, &PARTS).iter().copied())),
            3 => drop(out.splice(at..at, pick(rng, &PARTS).iter().copied())),
            4 => {
                let copy = out[at..end].to_vec();
                let times = rng.random_range(1..40);
                let many = std::iter::repeat_n(copy, times).flatten();
                drop(out.splice(at..at, many));
            }
            5 if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let to = (from + rng.random_range(0..200)).min(other.len());
                drop(out.splice(at..end, other[from..to].iter().copied()));
            }
            _ if at < length => out[at] ^= 1 << rng.random_range(0..8),
            _ => out.push(rng.next_u32() as u8),
        }
    }
    out
}

/// Lines in another order, left out or there twice.
pub(crate) fn lines(rng: &mut StdRng, lines: &mut Vec<Value>) {
    for _ in 0..rng.random_range(1..3) {
        if lines.is_empty() {
            return;
        }
        let (at, to) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
        match rng.random_range(0..4) {
            0 => drop(lines.remove(at)),
            1 => lines.swap(at, to),
            2 => lines.insert(to, lines[at].clone()),
            _ => {
                let line = lines.remove(at);
                lines.insert(to.min(lines.len()), line);
            }
        }
    }
}

/// Changes a few nodes of a tree.
pub(crate) fn tree(rng: &mut StdRng, root: &mut Value) {
    for _ in 0..rng.random_range(1..4) {
        let nodes = count(root);
        let mut left = rng.random_range(0..nodes);
        change(rng, root, &mut left);
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the node that comes after `left` others; whether it was in here.
fn change(rng: &mut StdRng, value: &mut Value, left: &mut usize) -> bool {
    if *left == 0 {
        node(rng, value);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|one| change(rng, one, left)),
        Value::Object(map) => map.values_mut().any(|one| change(rng, one, left)),
        _ => false,
    }
}

fn node(rng: &mut StdRng, value: &mut Value) {
    match value {
        Value::Number(number) if rng.random_range(0..4) > 0 => *value = near(rng, number),
        Value::String(text) if rng.random_range(0..3) == 0 => {
            let other = text.clone();
            let changed = bytes(rng, text.as_bytes(), other.as_bytes());
            *text = String::from_utf8_lossy(&changed).into_owned();
        }
        Value::String(text) => *text = (*pick(rng, &TEXTS)).to_owned(),
        Value::Bool(on) => *on = !*on,
        Value::Array(list) if rng.random_range(0..4) > 0 => lines(rng, list),
        Value::Object(map) if rng.random_range(0..4) > 0 => object(rng, map),
        _ => *value = any(rng, 3),
    }
}

fn near(rng: &mut StdRng, number: &Number) -> Value {
    let now = number.as_i128().unwrap_or(0);
    let to = match rng.random_range(0..5) {
        0 => now + 1,
        1 => now - 1,
        2 => now.saturating_mul(*pick(rng, &[2, 10, 1000, 1_000_000_000])),
        3 => -now,
        _ => *pick(rng, &NUMBERS),
    };
    integer(to)
}

fn integer(number: i128) -> Value {
    let unsigned = u64::try_from(number).map(Value::from);
    unsigned.unwrap_or_else(|_| Value::from(i64::try_from(number).unwrap_or(i64::MIN)))
}

fn object(rng: &mut StdRng, map: &mut Map<String, Value>) {
    let keys: Vec<String> = map.keys().cloned().collect();
    if keys.is_empty() {
        map.insert((*pick(rng, &TEXTS)).to_owned(), any(rng, 2));
        return;
    }
    let (one, two) = (pick(rng, &keys).clone(), pick(rng, &keys).clone());
    match rng.random_range(0..4) {
        0 => drop(map.remove(&one)),
        1 => {
            let (a, b) = (map[&one].clone(), map[&two].clone());
            map.insert(one, b);
            map.insert(two, a);
        }
        2 => drop(map.insert(one, any(rng, 3))),
        _ => drop(map.insert((*pick(rng, &TEXTS)).to_owned(), map[&one].clone())),
    }
}

fn any(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => integer(*pick(rng, &NUMBERS)),
        3 => Value::from(*pick(rng, &[0.0, -0.5, 1e300, f64::MIN_POSITIVE])),
        4 => Value::from(*pick(rng, &TEXTS)),
        5 => (0..rng.random_range(0..4)).map(|_| any(rng, depth - 1)).collect(),
        6 => (0..rng.random_range(0..4))
            .map(|_| ((*pick(rng, &TEXTS)).to_owned(), any(rng, depth - 1)))
            .collect::<Map<_, _>>()
            .into(),
        // Deeper than any reader goes.
        _ => (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
    }
}

/// Lines as kbench seals them.
pub(crate) fn sealed(lines: &[Value]) -> Vec<u8> {
    let mut chain = SealChain::default();
    lines.iter().map(|line| chain.seal(&line.to_string())).collect::<String>().into_bytes()
}

/// A stream's file with one payload changed and all checksums made right.
pub(crate) fn frames(rng: &mut StdRng, file: &[u8]) -> Vec<u8> {
    /// The file's first bytes, and what comes before a payload: kind, length, checksum.
    const MAGIC: usize = 10;
    const PREFIX: usize = 9;
    let mut rest = &file[MAGIC..];
    let mut parts: Vec<(u8, Vec<u8>)> = vec![];
    while rest.len() >= PREFIX {
        let length = u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
        let payload = &rest[PREFIX..];
        parts.push((rest[0], payload[..length].to_vec()));
        rest = &payload[length..];
    }
    for _ in 0..rng.random_range(1..3) {
        let at = rng.random_range(0..parts.len());
        match rng.random_range(0..8) {
            0 => parts[at].0 = rng.random_range(0..5),
            1 => {
                let copy = parts[at].clone();
                parts.insert(at, copy);
            }
            _ => parts[at].1 = bytes(rng, &parts[at].1, &file[MAGIC..]),
        }
    }
    let mut out = file[..MAGIC].to_vec();
    let mut chain = 0;
    for (kind, payload) in parts {
        let length = (payload.len() as u32).to_le_bytes();
        let mut crc = crc32fast::Hasher::new_with_initial(chain);
        [&[kind][..], &length, &payload].into_iter().for_each(|part| crc.update(part));
        chain = crc.finalize();
        out.push(kind);
        out.extend_from_slice(&length);
        out.extend_from_slice(&chain.to_le_bytes());
        out.extend_from_slice(&payload);
    }
    out
}

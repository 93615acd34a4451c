//! The cleartext signature framework (RFC 9580 section 7) as strictly as apt reads `InRelease`.

use super::Defect;

/// A cleartext-signed message taken apart, nothing verified yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clearsigned<'a> {
    /// The text in the form that is signed: dashes unescaped, no blanks at line ends, lines joined by CR LF.
    pub(super) canonical: Vec<u8>,
    /// The armoured signatures.
    pub(super) signatures: &'a [u8],
}

const MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

/// Takes a message apart. Every byte of the file belongs to one of its parts: whatever stands before, between or behind
/// them is not signed, and is refused instead of skipped.
pub(super) fn split(bytes: &[u8]) -> Result<Clearsigned<'_>, Defect> {
    // Carriage returns are where readers disagree about what a line is; no archive writes them.
    if bytes.iter().any(|&byte| byte == b'\r' || byte == 0) {
        return Err(Defect::Clearsign("holds a carriage return or a NUL"));
    }
    let mut lines = Lines { rest: bytes };
    if lines.next() != Some(MESSAGE) {
        return Err(Defect::Clearsign("does not begin with a signed message"));
    }
    loop {
        match lines.next() {
            Some(b"") => break,
            Some(line) if line.starts_with(b"Hash: ") => {}
            _ => return Err(Defect::Clearsign("has an unknown armour header")),
        }
    }
    let mut canonical = Vec::with_capacity(bytes.len());
    let mut first = true;
    let signatures = loop {
        let start = lines.rest;
        let line = lines.next().ok_or(Defect::Clearsign("has no signature"))?;
        if line == SIGNATURE {
            break start;
        }
        let line = match line.strip_prefix(b"- ") {
            Some(line) => line,
            None if line.starts_with(b"-") => {
                return Err(Defect::Clearsign("has a line with an unescaped dash"));
            }
            None => line,
        };
        if !first {
            canonical.extend_from_slice(b"\r\n");
        }
        first = false;
        let end = line
            .iter()
            .rposition(|&byte| byte != b' ' && byte != b'\t')
            .map_or(0, |last| last + 1);
        canonical.extend_from_slice(&line[..end]);
    };
    loop {
        match lines.next() {
            Some(line) if line == END => break,
            Some(line) if line.starts_with(b"-") => {
                return Err(Defect::Clearsign("has an armour line within the signature"));
            }
            Some(_) => {}
            None => return Err(Defect::Clearsign("ends within the signature")),
        }
    }
    if !lines.rest.is_empty() {
        return Err(Defect::Clearsign("has unsigned data behind the signature"));
    }
    Ok(Clearsigned {
        canonical,
        signatures,
    })
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = &self.rest[end.map_or(self.rest.len(), |end| end + 1)..];
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: b \t\n- -dash\n\n\
                        -----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn takes_apart() {
        let parts = split(GOOD.as_bytes()).unwrap();
        assert_eq!(parts.canonical, b"A: b\r\n-dash\r\n");
        assert!(parts.signatures.starts_with(SIGNATURE));
    }

    #[test]
    fn every_byte_is_signed_or_signature() {
        for (from, to) in [
            (
                "-----BEGIN PGP SIGNED",
                "Suite: evil\n-----BEGIN PGP SIGNED",
            ),
            ("-----BEGIN PGP SIGNED", "\n-----BEGIN PGP SIGNED"),
            ("SIGNED MESSAGE-----", "SIGNED MESSAGE-----  "),
            ("Hash: SHA256", "Suite: evil"),
            ("Hash: SHA256", "Hash: SHA256\n "),
            ("- -dash", "-dash"),
            ("A: b", "A: b\r"),
            ("A: b", "A: b\0"),
            ("\nabcd", "\nabcd\n-----BEGIN PGP SIGNATURE-----"),
            ("END PGP SIGNATURE-----\n", "END PGP SIGNATURE-----\n\n"),
            (
                "END PGP SIGNATURE-----\n",
                "END PGP SIGNATURE-----\nSuite: evil\n",
            ),
            ("END PGP SIGNATURE-----\n", "END PGP SIGNATURE-----x\n"),
            ("-----END PGP SIGNATURE-----\n", ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            assert!(split(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(noise: Vec<u8>, index: prop::sample::Index, value: u8) {
            let _ = split(&noise);
            let mut bytes = GOOD.as_bytes().to_vec();
            let at = index.index(bytes.len());
            bytes[at] = value;
            let _ = split(&bytes);
            let _ = split(&bytes[..at]);
        }
    }
}

//! Package files made byte by byte, also such as dpkg would never make.

/// An entry of `data.tar`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its path, as it stands in the archive.
    pub path: &'a str,
    /// Its type flag: `0` file, `2` symbolic link, `3` character device, `5` directory.
    pub kind: u8,
    /// Its content, or where the link points to.
    pub content: &'a str,
}

/// A .deb (deb(5), format 2.0) with uncompressed members.
pub fn deb(control: &str, entries: &[Entry<'_>]) -> Vec<u8> {
    let control = tar(&[Entry {
        path: "./control",
        kind: b'0',
        content: control,
    }]);
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", control),
        ("data.tar", tar(entries)),
    ] {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100_644,
            content.len()
        );
        bytes.extend(header.as_bytes());
        bytes.extend(&content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A tar archive in ustar format (POSIX.1-1988).
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        let size = if entry.kind == b'0' {
            entry.content.len()
        } else {
            0
        };
        put(0, entry.path.as_bytes());
        put(100, b"0000755\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[entry.kind]);
        if entry.kind == b'2' {
            put(157, entry.content.as_bytes());
        }
        put(257, b"ustar\x0000");
        put(329, b"0000001\0");
        put(337, b"0000003\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        if size > 0 {
            bytes.extend(entry.content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

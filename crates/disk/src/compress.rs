//! Images as one zstd frame, whose bytes do not depend on the number of threads.

use std::io::{self, Read, Write};

use zstd::stream::Encoder;
use zstd::zstd_safe::CParameter;

use crate::error::{Error, Result};

/// Bytes of input that one job compresses. Fixed, because it decides where matches are looked for.
const JOB_SIZE: u32 = 8 << 20;

/// Compresses `size` bytes of `input` into one frame with content size and checksum, by `workers` threads of zstd's own.
///
/// The bytes are the same for any number of workers: even a single one runs as a worker, since the library's mode
/// without workers cuts its input differently.
///
/// Fails when the input has another length than `size`.
pub fn compress<W: Write>(
    input: &mut impl Read,
    size: u64,
    output: W,
    level: i32,
    workers: u32,
) -> Result<W> {
    let failed = |source| Error::stream("write", "zstd frame")(source);
    let mut encoder = Encoder::new(output, level).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    encoder.include_contentsize(true).map_err(failed)?;
    encoder.set_pledged_src_size(Some(size)).map_err(failed)?;
    encoder.multithread(workers.max(1)).map_err(failed)?;
    let job_size = CParameter::JobSize(JOB_SIZE);
    encoder.set_parameter(job_size).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return encoder.finish().map_err(failed),
            Ok(length) => encoder.write_all(&buffer[..length]).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::stream("read", "image to compress")(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Text-like bytes with repetitions far apart.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let word = (state >> 20) % 3000;
            bytes.extend(format!("{word:x} ").as_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn run(bytes: &[u8], level: i32, workers: u32) -> Vec<u8> {
        let size = bytes.len() as u64;
        compress(&mut &*bytes, size, Vec::new(), level, workers).unwrap()
    }

    #[test]
    fn workers_do_not_matter() {
        for (length, level) in [
            (0, 3),
            (1000, 3),
            (600_000, 3),
            (17_000_000, 3),
            (9_000_000, 9),
        ] {
            let bytes = sample(length);
            let one = run(&bytes, level, 1);
            assert_eq!(zstd::decode_all(one.as_slice()).unwrap(), bytes);
            for workers in [0, 2, 3] {
                let many = run(&bytes, level, workers);
                assert!(one == many, "{length} bytes, {workers} workers");
            }
        }
    }

    #[test]
    fn pieces_of_input_do_not_matter() {
        struct Trickle<'a>(&'a [u8], usize);
        impl Read for Trickle<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 = self.1 * 7 % 100_003 + 1;
                let limit = buffer.len().min(self.1);
                self.0.read(&mut buffer[..limit])
            }
        }
        let bytes = sample(10_000_000);
        let size = bytes.len() as u64;
        let trickled = compress(&mut Trickle(&bytes, 1), size, Vec::new(), 3, 2).unwrap();
        assert!(trickled == run(&bytes, 3, 1));
    }

    #[test]
    fn zstd_reads_one_frame() {
        let frame = run(&sample(9_000_000), 3, 2);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("frame.zst");
        std::fs::write(&path, frame).unwrap();
        let output = Command::new("zstd")
            .args(["-lv", path.to_str().unwrap()])
            .stderr(Stdio::piped())
            .output()
            .unwrap_or_else(|error| panic!("zstd: {error}; apt-get install zstd"));
        let text = String::from_utf8_lossy(&output.stdout);
        let facts = ["# Zstandard Frames: 1", "9000000 B", "XXH64"];
        assert!(facts.iter().all(|fact| text.contains(fact)), "{text}");
    }

    #[test]
    fn another_length_is_refused() {
        let mut bytes = &sample(1000)[..];
        assert!(compress(&mut bytes, 1001, Vec::new(), 3, 1).is_err());
    }
}

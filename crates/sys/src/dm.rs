//! Device-mapper through its ioctls (`linux/dm-ioctl.h`, ABI 4): no udev, no libdevmapper.
//!
//! A request is one buffer: a `struct dm_ioctl` of 312 bytes, then for a table load one `struct dm_target_spec` of 40
//! bytes and the target's parameters as text.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;

use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};

const HEADER: usize = 312;
const SPEC: usize = 40;
/// Room for the kernel's answer to a status request.
const ANSWER: usize = 16 * 1024;

const NAME: std::ops::Range<usize> = 48..176;
const UUID: std::ops::Range<usize> = 176..305;

const READ_ONLY: u32 = 1 << 0;
const BUFFER_FULL: u32 = 1 << 8;

const DEV_CREATE: u8 = 3;
const DEV_REMOVE: u8 = 4;
const DEV_SUSPEND: u8 = 6;
const TABLE_LOAD: u8 = 9;
const TABLE_STATUS: u8 = 12;

/// The longest name that the kernel takes, in bytes without the final NUL.
pub const MAX_NAME: usize = NAME.end - NAME.start - 1;

/// One line of a device's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// The kind: `verity`, `crypt`, `linear`.
    pub kind: String,
    /// What the kind needs, as in the second half of a `dmsetup table` line.
    pub parameters: String,
}

/// An open `/dev/mapper/control`.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens `/dev/mapper/control`, which exists once the module `dm_mod` is there.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/mapper/control")?;
        Ok(Self(file))
    }

    /// Creates the read-only device `name` with one target and activates it; returns its major and minor number.
    ///
    /// A device that cannot be activated is removed again.
    pub fn create_read_only(
        &self,
        name: &str,
        uuid: &str,
        target: &Target,
    ) -> io::Result<(u32, u32)> {
        let mut request = Request::new(name, READ_ONLY, 0)?;
        put_text(&mut request.0[UUID], uuid)?;
        let answer = self.call(DEV_CREATE, request)?;
        let loaded = Request::with_target(name, target)
            .and_then(|request| self.call(TABLE_LOAD, request))
            // Without the suspend flag this call means "resume", which swaps the loaded table in.
            .and_then(|_| self.call(DEV_SUSPEND, Request::new(name, 0, 0)?));
        match loaded {
            Ok(_) => Ok(answer.device()),
            Err(error) => {
                // The first error is the one that tells what is wrong.
                let _ = self.remove(name);
                Err(error)
            }
        }
    }

    /// Removes the device `name`; fails while it is open.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.call(DEV_REMOVE, Request::new(name, 0, 0)?).map(drop)
    }

    /// The status text of the first target of `name`: for verity `V` (no corruption seen) or `C`.
    pub fn status(&self, name: &str) -> io::Result<String> {
        let answer = self.call(TABLE_STATUS, Request::new(name, 0, ANSWER)?)?;
        if answer.u32_at(FLAGS) & BUFFER_FULL != 0 {
            return Err(io::Error::other("the status does not fit"));
        }
        let start = answer.u32_at(DATA_START) as usize + SPEC;
        let text = answer.0.get(start..).unwrap_or_default();
        let end = text
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(text.len());
        Ok(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    fn call(&self, command: u8, request: Request) -> io::Result<Request> {
        let mut request = request;
        let operation = Call {
            opcode: ioctl::opcode::read_write::<[u8; HEADER]>(0xfd, command),
            buffer: request.0.as_mut_ptr().cast(),
        };
        // SAFETY: the opcode belongs to device-mapper, whose control file this is; the kernel reads and writes at most
        // `data_size` bytes, which `Request` sets to the length of the buffer, and the buffer outlives the call.
        unsafe { ioctl::ioctl(&self.0, operation) }?;
        Ok(request)
    }
}

const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;

/// A buffer laid out as the kernel expects it, multi-byte numbers in native byte order.
struct Request(Vec<u8>);

impl Request {
    fn new(name: &str, flags: u32, extra: usize) -> io::Result<Self> {
        let length = HEADER + extra;
        let mut bytes = vec![0; length];
        // The version 4.0.0 is the oldest of the ABI; the kernel takes any minor up to its own.
        bytes[0..4].copy_from_slice(&4_u32.to_ne_bytes());
        let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        bytes[DATA_SIZE..DATA_SIZE + 4].copy_from_slice(&length.to_ne_bytes());
        bytes[DATA_START..DATA_START + 4].copy_from_slice(&(HEADER as u32).to_ne_bytes());
        bytes[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_ne_bytes());
        put_text(&mut bytes[NAME], name)?;
        Ok(Self(bytes))
    }

    fn with_target(name: &str, target: &Target) -> io::Result<Self> {
        // NUL after the parameters, and the next target (there is none) would start at a multiple of eight.
        let parameters = target.parameters.as_bytes();
        let extra = (SPEC + parameters.len() + 1).next_multiple_of(8);
        let mut request = Self::new(name, READ_ONLY, extra)?;
        let bytes = &mut request.0;
        bytes[TARGET_COUNT..TARGET_COUNT + 4].copy_from_slice(&1_u32.to_ne_bytes());
        let spec = &mut bytes[HEADER..];
        spec[8..16].copy_from_slice(&target.sectors.to_ne_bytes());
        spec[20..24].copy_from_slice(&(extra as u32).to_ne_bytes());
        put_text(&mut spec[24..SPEC], &target.kind)?;
        put_text(&mut spec[SPEC..], &target.parameters)?;
        Ok(request)
    }

    fn u32_at(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(bytes)
    }

    /// The device number in the kernel's `new_encode_dev` form: minor bits 0-7, major 8-19, minor again 20-31.
    fn device(&self) -> (u32, u32) {
        let device = self.u32_at(DEVICE);
        (
            (device & 0xfff00) >> 8,
            (device & 0xff) | ((device >> 12) & 0xfff00),
        )
    }
}

/// Copies `text` into a field that keeps room for a final NUL.
fn put_text(field: &mut [u8], text: &str) -> io::Result<()> {
    if text.len() >= field.len() || text.as_bytes().contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{text}` does not fit a device-mapper field"),
        ));
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

struct Call {
    opcode: Opcode,
    buffer: *mut c_void,
}

// SAFETY: `Control::call` pairs a device-mapper opcode with a buffer of the announced size; the answer stays in it.
unsafe impl Ioctl for Call {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_the_kernels() {
        // `_IOWR(0xfd, n, struct dm_ioctl)` as strace shows them.
        assert_eq!(
            ioctl::opcode::read_write::<[u8; HEADER]>(0xfd, DEV_CREATE),
            0xc138_fd03
        );
    }

    #[test]
    fn lays_out_a_table() {
        let target = Target {
            sectors: 0x1234,
            kind: "verity".to_owned(),
            parameters: "1 254:1".to_owned(),
        };
        let request = Request::with_target("root", &target).unwrap();
        assert_eq!(request.u32_at(DATA_SIZE) as usize, request.0.len());
        assert_eq!(request.0.len(), HEADER + SPEC + 8);
        assert_eq!(&request.0[NAME][..5], b"root\0");
        let spec = &request.0[HEADER..];
        assert_eq!(spec[8..16], 0x1234_u64.to_ne_bytes());
        assert_eq!(&spec[24..31], b"verity\0");
        assert_eq!(&spec[SPEC..], b"1 254:1\0");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Request::new(&"n".repeat(MAX_NAME), 0, 0).is_ok());
        assert!(Request::new(&"n".repeat(MAX_NAME + 1), 0, 0).is_err());
        assert!(Request::new("a\0b", 0, 0).is_err());
        let target = Target {
            sectors: 1,
            kind: "a-kind-that-is-too-long".to_owned(),
            parameters: String::new(),
        };
        assert!(Request::with_target("root", &target).is_err());
    }

    #[test]
    fn decodes_device_numbers() {
        let mut request = Request::new("root", 0, 0).unwrap();
        request.0[DEVICE..DEVICE + 4].copy_from_slice(&0x0010_fd03_u32.to_ne_bytes());
        assert_eq!(request.device(), (0xfd, 0x103));
    }
}

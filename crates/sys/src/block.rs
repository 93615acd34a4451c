//! What block devices are asked beyond reading and writing.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{self, Getter, Ioctl, IoctlOutput, Opcode};

/// `_IOR(0x12, 114, size_t)`: despite its type the answer is 64 bits wide.
const BLKGETSIZE64: Opcode = ioctl::opcode::read::<usize>(0x12, 114);
/// `_IO(0x12, 97)`.
const BLKFLSBUF: Opcode = ioctl::opcode::none(0x12, 97);

/// The size of a block device in bytes.
pub fn size(device: impl AsFd) -> io::Result<u64> {
    // SAFETY: the request writes one u64 (block/ioctl.c, `put_u64`).
    let size = unsafe { ioctl::ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) }?;
    Ok(size)
}

/// Writes back what is cached of a block device and drops the cache, so that the next read comes from the medium.
pub fn drop_cache(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    unsafe { ioctl::ioctl(device, NoArgument(BLKFLSBUF)) }?;
    Ok(())
}

struct NoArgument(Opcode);

// SAFETY: the opcodes used above take no argument and answer nothing.
unsafe impl Ioctl for NoArgument {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
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
        #[cfg(target_pointer_width = "64")]
        assert_eq!(BLKGETSIZE64, 0x8008_1272);
        assert_eq!(BLKFLSBUF, 0x1261);
    }

    #[test]
    fn a_file_is_no_block_device() {
        let file = tempfile::tempfile().unwrap();
        assert!(size(&file).is_err());
        assert!(drop_cache(&file).is_err());
    }
}

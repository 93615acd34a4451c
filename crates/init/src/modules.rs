use std::fs::{self, File};
use std::path::Path;

use bedstone_sys::machine;

use crate::console::Console;
use crate::error::{Error, Result};

/// Where the image's builder put the modules and the order in which they are loaded: one name a line.
const DIRECTORY: &str = "/lib/modules";
const ORDER: &str = "load";

/// Loads every module of the initramfs; returns how many.
///
/// One that this machine does not take (`ENODEV`: no such processor feature or device) or that fails otherwise is told
/// and passed over: whether it was needed shows soon after, with a better reason than could be given here.
pub(crate) fn load(console: &Console) -> Result<usize> {
    let order = Path::new(DIRECTORY).join(ORDER);
    let names = match fs::read_to_string(&order) {
        Ok(names) => names,
        // A kernel with everything built in needs none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("read", &order)(error)),
    };
    let mut loaded = 0;
    for name in names.lines().filter(|name| !name.is_empty()) {
        let path = Path::new(DIRECTORY).join(format!("{name}.ko"));
        let result = File::open(&path).and_then(|file| machine::load_module(&file, ""));
        match result {
            Ok(()) => loaded += 1,
            Err(error)
                if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NODEV) => {}
            Err(error) => console.warn(format!("kernel module {name}: {error}")),
        }
    }
    Ok(loaded)
}

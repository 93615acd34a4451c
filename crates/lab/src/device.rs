use crate::console::Console;
use crate::error::Result;

/// A machine that can be switched and that has a serial console: the least that a test of an image needs.
pub trait Device {
    /// What people call it.
    fn name(&self) -> &str;

    /// Switches it on; its console begins anew.
    ///
    /// # Errors
    /// [`crate::Error::On`] when it is on.
    fn power_on(&mut self) -> Result<()>;

    /// Cuts its power. What it has written to its disks stays. Nothing happens when it is off.
    fn power_off(&mut self) -> Result<()>;

    /// Pushes its reset button.
    fn reset(&mut self) -> Result<()>;

    /// Its console.
    ///
    /// # Errors
    /// [`crate::Error::Off`] when it is off.
    fn console(&mut self) -> Result<&mut Console>;
}

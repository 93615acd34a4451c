use std::time::Duration;

use serde::Serialize;

/// When one boot of the machine reached what, in seconds from its power on or reset, as seen on the console.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Boot {
    /// When this boot began, in seconds from power on: 0 for the first.
    pub started: f64,
    /// First output of any kind; the firmware's, unless a kernel is started directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
    /// EFI Boot Guard's first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_loader: Option<f64>,
    /// The kernel's first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<f64>,
    /// The initramfs' `/init` starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<f64>,
    /// The real root's init system starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_space: Option<f64>,
    /// The login prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<f64>,
}

/// A point in a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named and described like the fields of `Boot`")]
pub enum Milestone {
    Output,
    BootLoader,
    Kernel,
    Init,
    UserSpace,
    Login,
}

/// The text on a line that shows a milestone.
const SIGNS: [(Milestone, &str); 7] = [
    (Milestone::BootLoader, "EFI Boot Guard"),
    (Milestone::Kernel, "EFI stub: "),
    (Milestone::Kernel, "Linux version "),
    (Milestone::Init, "Run /init as init process"),
    (Milestone::Init, "bedstone-init: "),
    (Milestone::UserSpace, "systemd[1]: systemd "),
    (Milestone::UserSpace, "Welcome to "),
];

/// A line is looked at only this far.
const LINE: usize = 4096;

/// Finds the milestones in a console's text.
#[derive(Debug)]
pub struct Milestones {
    boots: Vec<Boot>,
    line: Vec<u8>,
}

impl Default for Milestones {
    fn default() -> Self {
        Self {
            boots: vec![Boot::default()],
            line: Vec::new(),
        }
    }
}

impl Milestones {
    /// The boots so far, the current one last.
    pub fn boots(&self) -> &[Boot] {
        &self.boots
    }

    /// The machine was reset `at` this time after power on.
    pub fn reset(&mut self, at: Duration) {
        let boot = Boot {
            started: seconds(at),
            ..Boot::default()
        };
        self.line.clear();
        match self.boots.last_mut() {
            // Firmware resets the machine before it says anything when it has changed its own settings.
            Some(last) if last.output.is_none() => *last = boot,
            _ => self.boots.push(boot),
        }
    }

    /// Takes the next text, without terminal control, that came `at` this time after power on.
    pub fn push(&mut self, text: &[u8], at: Duration) {
        if text.is_empty() {
            return;
        }
        self.reach(Milestone::Output, at);
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.look(at);
            if piece.ends_with(b"\n") {
                self.line.clear();
            }
        }
    }

    fn look(&mut self, at: Duration) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        for (milestone, sign) in SIGNS {
            if line.contains(sign) {
                self.reach(milestone, at);
            }
        }
        // "Last login: …" goes on after the colon; a prompt waits.
        if line.ends_with(" login: ") && !line.starts_with("Last login: ") {
            self.reach(Milestone::Login, at);
        }
    }

    fn reach(&mut self, milestone: Milestone, at: Duration) {
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        // Whoever is logged in may print anything.
        if boot.login.is_some() {
            return;
        }
        let since = ((seconds(at) - boot.started) * 1000.0).round() / 1000.0;
        boot.field(milestone).get_or_insert(since);
    }
}

impl Boot {
    /// When the boot reached `milestone`, in seconds from its beginning.
    pub fn at(&self, milestone: Milestone) -> Option<f64> {
        *self.clone().field(milestone)
    }

    fn field(&mut self, milestone: Milestone) -> &mut Option<f64> {
        match milestone {
            Milestone::Output => &mut self.output,
            Milestone::BootLoader => &mut self.boot_loader,
            Milestone::Kernel => &mut self.kernel,
            Milestone::Init => &mut self.init,
            Milestone::UserSpace => &mut self.user_space,
            Milestone::Login => &mut self.login,
        }
    }
}

impl Milestone {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Output,
        Self::BootLoader,
        Self::Kernel,
        Self::Init,
        Self::UserSpace,
        Self::Login,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Output => "first output",
            Self::BootLoader => "boot loader",
            Self::Kernel => "kernel",
            Self::Init => "init",
            Self::UserSpace => "user space",
            Self::Login => "login prompt",
        }
    }
}

fn seconds(at: Duration) -> f64 {
    (at.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_each_boot_from_its_own_beginning() {
        let mut milestones = Milestones::default();
        milestones.reset(Duration::from_millis(300));
        let mut at = 300;
        let mut push = |milestones: &mut Milestones, text: &str| {
            at += 700;
            milestones.push(text.as_bytes(), Duration::from_millis(at));
        };
        push(&mut milestones, "BdsDxe: starting\nEFI Boot Gu");
        push(&mut milestones, "ard v0.22\n");
        push(
            &mut milestones,
            "[    0.000000] Linux version 6.1\n[    0.1] Linux version 6.1\n",
        );
        push(&mut milestones, "Debian\n\nhost login: ");
        push(&mut milestones, "Welcome to a shell\n");
        milestones.reset(Duration::from_secs(10));
        milestones.push(b"Last login: today\n", Duration::from_millis(10_500));

        let [first, second] = milestones.boots() else {
            panic!("two boots");
        };
        assert_eq!(first.output, Some(0.7));
        assert_eq!(first.boot_loader, Some(1.4));
        assert_eq!(first.kernel, Some(2.1));
        assert_eq!(first.at(Milestone::Login), Some(2.8));
        assert_eq!(first.user_space, None);
        assert_eq!(
            (second.started, second.output, second.login),
            (10.0, Some(0.5), None)
        );
    }
}

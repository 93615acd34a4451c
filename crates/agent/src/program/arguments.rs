use std::ffi::OsString;
use std::path::PathBuf;

use bedstone_agent::config;

pub(crate) const USAGE: &str = "\
Installs updates on this device, and keeps or leaves them.

Usage: bedstone-agent [--json] [--config FILE] COMMAND

Commands:
  install [OPTIONS] FILE|-     install a bundle into the slot that is not running; `-` reads standard input
      --reboot                   restart into it at once
      --allow-downgrade          take an older version than the running one, never below the device's minimum
      --reinstall                install the running version once more
      --key FILE                 key for encrypted members
  status                       tell the state of both slots and of the last update
  confirm                      keep the running slot; it is started from now on
  rollback [--reason TEXT]     leave the running slot and restart into the other one
  repair                       look at every block of the other slot, and write it again from the running one if it is damaged
  boot                         what the system runs at every start: tell what became of the last update, try the running one

Options:
  --json                       results as one line of JSON, progress as lines before it
  --config FILE                instead of /usr/lib/bedstone/update.json
  -h, --help                   this text
  -V, --version                the version of this program

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (`code` of --json says why), 130 interrupted.";

const COMMANDS: [&str; 6] = ["install", "status", "confirm", "rollback", "repair", "boot"];

/// A command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) json: bool,
    pub(crate) config: PathBuf,
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Install(Install),
    Status,
    Confirm,
    Rollback { reason: String },
    Repair,
    Boot,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Install {
    pub(crate) bundle: String,
    pub(crate) reboot: bool,
    pub(crate) allow_downgrade: bool,
    pub(crate) reinstall: bool,
    pub(crate) key: Option<PathBuf>,
}

/// Why nothing is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was asked for.
    Help(String),
    /// The command line is wrong.
    Wrong(String),
}

/// Reads a command line without the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Invocation, Stop> {
    let wrong = |text: String| Stop::Wrong(text);
    let mut words = words.map(|word| {
        word.into_string()
            .map_err(|word| wrong(format!("`{}` is not UTF-8", word.display())))
    });
    let mut json = false;
    let mut config = PathBuf::from(config::FILE);
    let mut command: Option<String> = None;
    let mut install = Install::default();
    let mut bundle = None;
    let mut reason = None;
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        let word = word?;
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || match attached.clone() {
            Some(value) => Ok(value),
            None => words
                .next()
                .unwrap_or_else(|| Err(wrong(format!("`{name}` needs a value")))),
        };
        match &*name {
            "-h" | "--help" => return Err(Stop::Help(USAGE.to_owned())),
            "-V" | "--version" => {
                let text = format!("bedstone-agent {}", env!("CARGO_PKG_VERSION"));
                return Err(Stop::Help(text));
            }
            "--json" => json = true,
            "--config" => config = value()?.into(),
            "--key" => {
                install.key = Some(value()?.into());
                given.push("--key");
            }
            "--reason" => {
                reason = Some(value()?);
                given.push("--reason");
            }
            "--reboot" => {
                install.reboot = true;
                given.push("--reboot");
            }
            "--allow-downgrade" => {
                install.allow_downgrade = true;
                given.push("--allow-downgrade");
            }
            "--reinstall" => {
                install.reinstall = true;
                given.push("--reinstall");
            }
            option if option.starts_with('-') && option != "-" => {
                return Err(wrong(format!("`{option}` is no option")));
            }
            _ if command.is_none() && COMMANDS.contains(&&*word) => command = Some(word),
            _ if command.is_none() => return Err(wrong(format!("`{word}` is no command"))),
            _ if command.as_deref() == Some("install") && bundle.is_none() => bundle = Some(word),
            _ => return Err(wrong(format!("`{word}` is one argument too many"))),
        }
    }
    let Some(command) = command else {
        return Err(wrong("a command is missing".to_owned()));
    };
    let allowed: &[&str] = match &*command {
        "install" => &["--key", "--reboot", "--allow-downgrade", "--reinstall"],
        "rollback" => &["--reason"],
        _ => &[],
    };
    if let Some(option) = given.iter().find(|option| !allowed.contains(option)) {
        return Err(wrong(format!("`{option}` does not go with `{command}`")));
    }
    let command = match &*command {
        "install" => Command::Install(Install {
            bundle: bundle.ok_or_else(|| wrong("`install` needs a bundle".to_owned()))?,
            ..install
        }),
        "status" => Command::Status,
        "confirm" => Command::Confirm,
        "rollback" => Command::Rollback {
            reason: reason.unwrap_or_else(|| "rolled back by hand".to_owned()),
        },
        "repair" => Command::Repair,
        _ => Command::Boot,
    };
    Ok(Invocation {
        json,
        config,
        command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, Stop> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn reads_commands() {
        let install = parsed("--json install --reboot --key=k x.swu").unwrap();
        assert!(install.json);
        let expected = Install {
            bundle: "x.swu".to_owned(),
            reboot: true,
            key: Some("k".into()),
            ..Install::default()
        };
        assert_eq!(install.command, Command::Install(expected));
        let install = parsed("install - --config /x").unwrap();
        assert_eq!(install.config, PathBuf::from("/x"));
        assert!(matches!(install.command, Command::Install(it) if it.bundle == "-"));
        assert_eq!(parsed("status").unwrap().command, Command::Status);
        assert!(matches!(parsed("rollback --help"), Err(Stop::Help(_))));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (line, reason) in [
            ("", "a command is missing"),
            ("instal x", "`instal` is no command"),
            ("install", "`install` needs a bundle"),
            ("install a b", "`b` is one argument too many"),
            ("status --reboot", "`--reboot` does not go with `status`"),
            ("install --fast x", "`--fast` is no option"),
            ("rollback --reason", "`--reason` needs a value"),
        ] {
            assert_eq!(parsed(line), Err(Stop::Wrong(reason.to_owned())), "{line}");
        }
    }
}

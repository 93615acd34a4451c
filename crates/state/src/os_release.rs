//! What an image is called (os-release(5)).

/// Where an image keeps it.
pub const FILE: &str = "/usr/lib/os-release";

/// The version of an image (`IMAGE_VERSION`), by the text of its `os-release` file.
pub fn image_version(text: &str) -> Option<String> {
    field(text, "IMAGE_VERSION")
}

/// A value of os-release, unquoted.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    let value = value.trim();
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let mut unquoted = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        unquoted.push(match character {
            '\\' => characters.next()?,
            other => other,
        });
    }
    Some(unquoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_os_release() {
        let text = "NAME=x\nIMAGE_VERSION=\"1.0 \\\"b\\\"\"\nIMAGE_VERSION_X=2\n";
        assert_eq!(image_version(text).as_deref(), Some("1.0 \"b\""));
        let plain = "IMAGE_VERSION=1.2.3\n";
        assert_eq!(image_version(plain).as_deref(), Some("1.2.3"));
        assert_eq!(image_version(""), None);
    }
}

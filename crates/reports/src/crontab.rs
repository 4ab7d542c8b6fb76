//! The line for the system's crontab.

use std::path::Path;

/// The lines to install: every five minutes `reporter due` is asked, and decides. Cron hands on no settings: they
/// come from the file, and `data_dir`, which counts before the file's, from the line itself.
#[must_use]
pub fn crontab_line(reporter: &Path, env_file: Option<&Path>, data_dir: Option<&Path>) -> String {
    let flag = |name, path: Option<&Path>| path.map(|path| format!(" {name} {}", quoted(path))).unwrap_or_default();
    let (settings, data) = (flag("--env-file", env_file), flag("--data-dir", data_dir));
    let command = format!("{}{settings}{data} due", quoted(reporter));
    // To cron a bare % ends the line.
    let command = command.replace('%', "\\%");
    format!("# Knowledge OS: reports that are due, once each, in TIME_ZONE\n*/5 * * * * {command}")
}

fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Only a NUL cannot be quoted, and no path has one.
    shlex::try_quote(&text).map_or_else(|_nul| text.to_string(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_asks_every_five_minutes_with_the_settings_of_the_service() {
        let reporter = Path::new("/usr/local/bin/reporter");
        let (file, data) = (Path::new("/etc/knowledge-os/env"), Path::new("/var/lib/knowledge-os"));
        insta::assert_snapshot!(crontab_line(reporter, Some(file), Some(data)), @"
        # Knowledge OS: reports that are due, once each, in TIME_ZONE
        */5 * * * * /usr/local/bin/reporter --env-file /etc/knowledge-os/env --data-dir /var/lib/knowledge-os due
        ");
        insta::assert_snapshot!(crontab_line(reporter, Some(file), None), @"
        # Knowledge OS: reports that are due, once each, in TIME_ZONE
        */5 * * * * /usr/local/bin/reporter --env-file /etc/knowledge-os/env due
        ");
        insta::assert_snapshot!(crontab_line(reporter, None, Some(data)), @"
        # Knowledge OS: reports that are due, once each, in TIME_ZONE
        */5 * * * * /usr/local/bin/reporter --data-dir /var/lib/knowledge-os due
        ");
    }

    #[test]
    fn the_example_is_the_line_for_the_usual_places() {
        let (file, data) = (Path::new("/etc/knowledge-os/env"), Path::new("/var/lib/knowledge-os"));
        let printed = crontab_line(Path::new("/usr/local/bin/reporter"), Some(file), Some(data));
        let example = include_str!("../../../examples/deploy/crontab");
        assert_eq!(example.lines().last(), printed.lines().last());
    }

    #[test]
    fn neither_the_shell_nor_cron_stumbles_over_a_path() {
        let line = crontab_line(Path::new("/opt/it's 100%/reporter"), None, Some(Path::new("/tmp/a b")));
        assert!(line.ends_with(r#"* "/opt/it's 100\%/reporter" --data-dir '/tmp/a b' due"#), "{line}");
    }
}

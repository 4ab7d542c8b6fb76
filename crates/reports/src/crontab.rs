//! The line for the system's crontab.

use std::path::Path;

/// The lines to install: every five minutes `reporter due` is asked, and decides. `data_dir` counts unless
/// the file of settings, which need not be there, says otherwise.
#[must_use]
pub fn crontab_line(reporter: &Path, env_file: Option<&Path>, data_dir: &Path) -> String {
    let settings = env_file.map(|file| format!(" . {};", quoted(file))).unwrap_or_default();
    let command = format!("set -a; DATA_DIR={};{settings} {} due", quoted(data_dir), quoted(reporter));
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
        let data = Path::new("/var/lib/knowledge-os");
        insta::assert_snapshot!(crontab_line(reporter, Some(Path::new("/etc/knowledge-os/env")), data), @"
        # Knowledge OS: reports that are due, once each, in TIME_ZONE
        */5 * * * * set -a; DATA_DIR=/var/lib/knowledge-os; . /etc/knowledge-os/env; /usr/local/bin/reporter due
        ");
        insta::assert_snapshot!(crontab_line(reporter, None, data), @"
        # Knowledge OS: reports that are due, once each, in TIME_ZONE
        */5 * * * * set -a; DATA_DIR=/var/lib/knowledge-os; /usr/local/bin/reporter due
        ");
    }

    #[test]
    fn neither_the_shell_nor_cron_stumbles_over_a_path() {
        let line = crontab_line(Path::new("/opt/it's 100%/reporter"), None, Path::new("/tmp/a b"));
        assert!(line.ends_with(r#"set -a; DATA_DIR='/tmp/a b'; "/opt/it's 100\%/reporter" due"#), "{line}");
    }
}

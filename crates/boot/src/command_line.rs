//! The command line over the environment over the file of settings over the defaults.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStr;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches};

use crate::env_file::{EnvFile, Error};

/// The flag's name to clap; the field's of [`FileArgs`].
const FILE: &str = "env_file";

/// The file of settings.
#[derive(Args, Clone, Debug)]
pub struct FileArgs {
    /// A file of settings, NAME=value on each line as systemd reads it; flags and the environment win over it
    #[arg(long, global = true, value_name = "PATH")]
    env_file: Option<PathBuf>,
}

/// A command line, and where its settings come from.
#[derive(Debug)]
pub struct CommandLine<C> {
    /// What was asked for.
    pub cli: C,
    /// The file that it names.
    pub file: Option<EnvFile>,
    /// The settings that flags or the environment gave, by their variables' names.
    told: Vec<(String, OsString)>,
}

impl<C: CommandFactory + FromArgMatches> CommandLine<C> {
    /// Reads the command line of this process, which must flatten [`FileArgs`]. One that cannot be understood
    /// ends the process with a word on it, as `--help` does.
    ///
    /// # Errors
    /// The file that it names cannot be read.
    pub fn read() -> Result<Self, Error> {
        let matches = C::command().get_matches();
        let told = told(&C::command(), &matches);
        let file = matches.get_one::<PathBuf>(FILE).map(|path| EnvFile::read(path)).transpose()?;
        let matches = match &file {
            Some(file) => over(C::command(), file).get_matches(),
            None => matches,
        };
        let cli = C::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut C::command()).exit());
        Ok(Self { cli, file, told })
    }
}

impl<C> CommandLine<C> {
    /// The names of the settings that this run has by flag or environment, and that `file` does not give as they
    /// are: whoever starts with that file alone lacks them.
    pub fn not_in<'a>(&'a self, file: Option<&'a EnvFile>) -> impl Iterator<Item = &'a str> {
        let is_lacking = move |(name, value): &&(String, OsString)| {
            !value.is_empty() && file.and_then(|file| file.get(name)).is_none_or(|given| *value != *given)
        };
        self.told.iter().filter(is_lacking).map(|(name, _)| name.as_str())
    }
}

fn told(command: &Command, matches: &ArgMatches) -> Vec<(String, OsString)> {
    let told = command.get_arguments().filter_map(|setting| {
        let name = setting.get_env()?.to_str()?;
        let id = setting.get_id().as_str();
        let source = matches.value_source(id)?;
        let value = matches.get_raw(id)?.next()?;
        matches!(source, ValueSource::CommandLine | ValueSource::EnvVariable)
            .then(|| (name.to_owned(), value.to_owned()))
    });
    told.collect()
}

/// What the file says takes the place of the defaults.
fn over(command: Command, file: &EnvFile) -> Command {
    command.mut_args(|setting| {
        let value = setting.get_env().and_then(|name| name.to_str()).and_then(|name| file.get(name));
        match value.map(|value| OsStr::from(value.to_owned())) {
            Some(value) => setting.default_value(value).hide_default_value(true),
            None => setting,
        }
    })
}

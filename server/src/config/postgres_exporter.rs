//! The PostgreSQL exporter's configuration file: credentials for servers that requests name.

use std::collections::BTreeMap;
use std::path::Path;

use super::fields::{Check, Omit, config};
use super::{ConfigError, Secret, yaml};

config! {
    /// The whole document.
    pub(crate) struct PostgresExporterConfig("config.Config") {
        /// Credentials by name.
        auth_modules: BTreeMap<String, AuthModule>;
    }
}
impl Check for PostgresExporterConfig {}

config! {
    /// How a server is logged in to.
    pub(crate) struct AuthModule("config.AuthModule") {
        /// The kind of login; only `userpass` there is.
        r#type: String = "userpass".to_owned();
        /// User and password.
        userpass: UserPass;
        /// Words of the connection, as in a data source name.
        options: BTreeMap<String, String>;
    }
}
impl Check for AuthModule {
    fn check(&mut self) -> Result<(), String> {
        if self.r#type == "userpass" {
            return Ok(());
        }
        Err(format!(
            "auth module type {:?} is not userpass",
            self.r#type
        ))
    }
}

config! {
    /// User and password.
    pub(crate) struct UserPass("config.UserPass") {
        /// The user.
        username: String;
        /// The password.
        password: Secret;
    }
}
impl Check for UserPass {}
impl Omit for UserPass {
    fn omit(&self) -> bool {
        *self == Self::default()
    }
}

impl PostgresExporterConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// As those of every configuration file, with line and column.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = yaml::read(file)?;
        yaml::parse(file, &text)
    }
}

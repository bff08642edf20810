//! Which settings of a tenant does somebody have?

/// The version of a tenant's settings and of the installation's, which stand behind them. Settings of another version are other
/// settings; it only ever grows, but where a database was set back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SettingsVersion {
    /// Of what is set for the tenant; zero: nothing ever was.
    pub tenant: u64,
    /// Of what is set for all tenants.
    pub defaults: u64,
}

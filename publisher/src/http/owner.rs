//! Whose settings does an administrator ask about: a tenant's, or those of the installation?

use super::App;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use crate::access::Caller;
use carillon_backplane::log::Owner;
use carillon_protocol::TenantId;

/// Names the installation where a tenant is named.
const INSTALLATION: &str = "*";

/// Those of the tenant that is named, or of the only one; those of the installation with a key for all tenants. `what` names the
/// settings.
pub(super) fn owner(app: &App, caller: &Caller, query: &mut Query, what: &str) -> Result<Owner, Problem> {
    let not_admin = || Problem::new(Code::MissingScope, format!("{what} need the scope or capability admin"));
    let named = query.take("tenant");
    if named.as_deref() == Some(INSTALLATION) {
        return match caller {
            Caller::Key(key) if key.tenant.is_none() && key.admin => Ok(Owner::Installation),
            Caller::Key(key) if key.tenant.is_none() => Err(not_admin()),
            _ => {
                let detail = format!("the installation's {what} need an API key for all tenants");
                Err(Problem::new(Code::TenantForbidden, detail))
            }
        };
    }
    let asked =
        named.map(|text| TenantId::new(text).map_err(|fault| query::invalid("tenant", fault.allowed)));
    let entry = app.enter(caller, asked.transpose()?.as_ref())?;
    if entry.admin { Ok(Owner::Tenant(entry.tenant)) } else { Err(not_admin()) }
}

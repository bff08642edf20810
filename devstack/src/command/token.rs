//! `carillon token`: who may this user be?

use carillon_protocol::channel::{Channel, ChannelPattern};
use carillon_protocol::ident::{TenantId, UserId};

use super::{CommandError, print};
use crate::cli::TokenArgs;
use crate::info::StackInfo;
use crate::token::{self, Claims};

pub(super) fn run(info: &StackInfo, args: TokenArgs) -> Result<(), CommandError> {
    // A gateway would refuse such a token later and say less.
    TenantId::new(&args.tenant)?;
    UserId::new(&args.user)?;
    args.roles.iter().try_for_each(|role| Channel::role(role).map(drop))?;
    args.channels.iter().try_for_each(|pattern| ChannelPattern::new(pattern).map(drop))?;
    let claims = Claims::new(args.tenant, args.user, token::now(), args.ttl);
    let mut claims = claims.roles(args.roles).channels(args.channels).caps(args.caps);
    for also in &args.also {
        let (tenant, roles) = also.split_once('=').unwrap_or((also, ""));
        let roles: Vec<&str> = roles.split(',').filter(|role| !role.is_empty()).collect();
        TenantId::new(tenant)?;
        roles.iter().try_for_each(|role| Channel::role(role).map(drop))?;
        claims = claims.also(tenant, roles);
    }
    print(&format!("{}\n", claims.sign(&info.jwt_secret)?))
}

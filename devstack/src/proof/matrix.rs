//! Which faults and attacks are there, who tries them, and which does nobody try yet?
//!
//! The numbers are those of the project's fault matrix and list of attacks. Tests that are named here exist:
//! `devstack/tests/documents.rs` reads the page.

/// A row of the matrix: its number, what is done, and the tests of the gate that do it. The runs of `make proof` with the
/// same number are found by that.
pub struct Row {
    /// `F12`, `A3`.
    pub number: &'static str,
    /// What is done.
    pub what: &'static str,
    /// Tests in the gate.
    pub tests: &'static [&'static str],
    /// What of it nobody tries yet; empty where nothing is left.
    pub untested: &'static str,
}

const fn row(
    number: &'static str,
    what: &'static str,
    tests: &'static [&'static str],
    untested: &'static str,
) -> Row {
    Row { number, what, tests, untested }
}

/// Faults.
pub const FAULT_ROWS: [Row; 31] = [
    row("F1", "a gateway is killed", &["a_killed_gateway_s_followers_go_on_at_the_other_one"], ""),
    row(
        "F2",
        "gateways are stopped and started, one after the other",
        &["i8_a_rolling_restart_loses_nothing_and_leaves_an_even_load"],
        "",
    ),
    row(
        "F3",
        "a gateway stands still",
        &["a_gateway_that_was_frozen_repeats_and_skips_nothing"],
        "60 s; runs hold it for 12 to 16 s",
    ),
    row(
        "F4",
        "a publisher is killed between commit and announcement",
        &["publishers_killed_again_and_again_lose_and_double_nothing"],
        "",
    ),
    row(
        "F5",
        "a publisher's answer is lost, and the caller repeats",
        &["publishers_killed_again_and_again_lose_and_double_nothing"],
        "",
    ),
    row("F6", "Redis is killed and comes back empty", &["i9_redis_killed_and_back_empty"], ""),
    row("F7", "Redis stands still", &[], "20 s; runs hold it for 3 to 8 s"),
    row(
        "F8",
        "Redis drops all subscribers",
        &["twelve_tenants_are_served_over_three_cluster_nodes_also_when_one_cuts_its_subscribers"],
        "a slot that moves while it is subscribed",
    ),
    row("F9", "Redis' output buffer for a slow gateway overflows", &[], "all of it"),
    row(
        "F10",
        "another Redis takes over while the old one is alive",
        &[],
        "Sentinel; runs move the services' addresses instead",
    ),
    row(
        "F11",
        "20 % packet loss and resets between Redis and a gateway",
        &["bad_links_to_redis_and_postgres_cost_time_only"],
        "packet loss; runs make links late and cut them",
    ),
    row(
        "F12",
        "a gateway is cut off from Redis alone",
        &["bad_links_to_redis_and_postgres_cost_time_only"],
        "",
    ),
    row(
        "F13",
        "a gateway is cut off from Postgres alone",
        &["i10_bounded_without_a_database_connections_stay_and_the_ring_answers"],
        "",
    ),
    row(
        "F14",
        "Postgres is stopped at once, or killed, and started",
        &["postgres_stopped_at_once_and_started_again"],
        "",
    ),
    row(
        "F15",
        "a standby takes over",
        &[
            "i4_a_promoted_standby_that_had_everything_resets_nobody",
            "i4_a_promoted_standby_that_was_behind_resets_exactly_who_saw_the_lost_events",
        ],
        "under load, with a synchronous standby, by `make proof`",
    ),
    row("F16", "Postgres stands still", &["i10_bounded_a_frozen_database_is_an_answer_and_not_a_wait"], ""),
    row(
        "F17",
        "the disk of Postgres is full",
        &["a_full_disk_is_named_and_nothing_acknowledged_is_lost"],
        "by `make proof`",
    ),
    row("F18", "fsync fails", &[], "all of it"),
    row(
        "F19",
        "clients do not read",
        &[
            "i6_slow_five_in_a_hundred_that_do_not_read_delay_nobody",
            "i6_slow_one_of_four_that_does_not_read_costs_no_memory",
            "watchers_that_do_not_read_delay_nobody_cost_no_memory_and_know_who_is_there_when_they_read_again",
        ],
        "",
    ),
    row("F20", "all sockets are cut at once", &[], "with 10,000 clients; runs have 18"),
    row("F21", "the same event is published twice at the same time", &[], ""),
    row("F22", "a node's clock is an hour off", &[], "all of it"),
    row(
        "F23",
        "one tenant has a hundred times the load",
        &[
            "an_importer_on_forty_connections_is_noticed_by_nobody_else",
            "one_key_that_publishes_for_many_tenants_at_once_is_noticed_by_nobody_else",
        ],
        "",
    ),
    row(
        "F24",
        "clients resume after very much",
        &[
            "one_tenant_s_long_replay_does_not_hold_the_others_back",
            "i4_whole_a_cursor_behind_retention_is_told_so",
        ],
        "",
    ),
    row("F25", "the balancer dies", &[], "an idle time-out of the balancer"),
    row("F26", "descriptors run out", &[], "all of it"),
    row(
        "F27",
        "memory is limited by a cgroup",
        &["i10_rings_give_way_to_their_budget_and_readers_get_everything_from_the_log"],
        "the limit of a cgroup; budgets of the process are tested",
    ),
    row(
        "F28",
        "the release before and this one together for ten minutes",
        &["partitions_are_made_with_their_own_row_level_security_and_the_last_version_still_works"],
        "gateways and publishers of two releases side by side under load",
    ),
    row("F29", "migrations during traffic", &[], "all of it"),
    row(
        "F30",
        "an older backup is restored",
        &[
            "i4_a_log_cut_off_while_nobody_was_online_resets_exactly_who_saw_the_lost_events",
            "i4_an_operator_ends_the_epoch_of_a_restored_snapshot",
        ],
        "by `make proof`",
    ),
    row("F31", "every core is busy with something else", &[], ""),
];

/// Attacks.
pub const ATTACK_ROWS: [Row; 30] = [
    row(
        "A1",
        "foreign and malformed origins",
        &[
            "only_pages_of_listed_origins_connect_and_only_exactly",
            "every_page_may_connect_where_every_origin_is_allowed_but_not_two_at_once",
        ],
        "",
    ),
    row(
        "A2",
        "tokens that are missing, garbage, expired, for others or wrong in a claim",
        &[
            "a_bad_token_is_401_with_a_code_and_leaves_no_trace",
            "audience_and_issuer_are_checked_where_they_are_configured",
        ],
        "that each takes as long to be refused",
    ),
    row(
        "A3",
        "`alg` none, a public key as a shared secret, a strange `kid`, key URLs in the header",
        &[
            "a_token_without_a_signature_or_with_a_foreign_algorithm_is_refused",
            "a_public_key_is_never_a_shared_secret",
        ],
        "",
    ),
    row(
        "A4",
        "a token of one tenant and the names of another",
        &["i5_a_token_of_one_tenant_reaches_into_no_other"],
        "",
    ),
    row(
        "A5",
        "tenants with names that are alike, under load",
        &["i5_tenants_with_tricky_names_share_everything_but_events", "i5_names_that_look_alike_do_not_mix"],
        "",
    ),
    row(
        "A6",
        "a pooled connection after an error, a cancelled request or a rolled back savepoint",
        &[
            "i5_a_connection_sees_only_the_tenants_its_transaction_names",
            "a_session_that_row_level_security_does_not_bind_is_given_up_while_in_use",
        ],
        "a future that is cancelled in the middle of a transaction, by itself",
    ),
    row(
        "A7",
        "a token that ends, or is taken back, on a live socket",
        &["the_end_of_the_token_is_told_once_and_is_the_end_of_all"],
        "",
    ),
    row(
        "A8",
        "secrets in logs, metrics, process lists and answers",
        &["secrets_and_payloads_appear_in_no_log_process_list_metric_or_answer"],
        "",
    ),
    row(
        "A9",
        "line breaks and control characters in what is logged",
        &["every_refusal_is_found_in_the_log_by_its_request_id_and_without_the_secret"],
        "",
    ),
    row(
        "A10",
        "requests that come byte by byte",
        &["i10_whoever_sends_a_head_byte_by_byte_is_cut_off_while_others_are_served"],
        "a TLS hello that does",
    ),
    row(
        "A11",
        "a flood of handshakes",
        &["i10_five_hundred_that_connect_and_vanish_leave_nothing_behind"],
        "5,000 a second; `make hostile` measures floods",
    ),
    row(
        "A12",
        "sockets that say nothing after the upgrade",
        &["sockets_without_a_token_do_not_lock_a_node", "silent_sockets_of_one_address_keep_nobody_out"],
        "",
    ),
    row(
        "A13",
        "more connections than one may have",
        &[
            "i10_an_address_a_person_and_a_node_have_limits_and_every_place_comes_back",
            "a_tenants_connections_are_counted_over_all_nodes",
        ],
        "",
    ),
    row(
        "A14",
        "very large heads and paths",
        &[
            "a_head_may_have_32_kib_and_not_one_byte_more_at_both_services",
            "i10_oversized_heads_are_refused_and_the_next_is_served",
        ],
        "",
    ),
    row(
        "A15",
        "breaches of WebSocket framing",
        &[
            "i6_i10_every_breach_of_framing_has_its_code_and_costs_nobody_else_anything",
            "i6_i10_a_flood_of_any_frames_ends_with_4429",
        ],
        "",
    ),
    row(
        "A16",
        "compression bombs",
        &["i6_i10_every_breach_of_framing_has_its_code_and_costs_nobody_else_anything"],
        "a bomb by its own name",
    ),
    row(
        "A17",
        "clients that never read",
        &[
            "i6_slow_a_stalled_reader_is_closed_and_can_come_back_for_everything",
            "i6_i10_whoever_asks_and_never_reads_waits_and_costs_no_more_than_its_answers",
        ],
        "",
    ),
    row(
        "A18",
        "joining and leaving channels without end",
        &["i10_channels_are_paid_for_and_whoever_joins_a_thousand_once_can"],
        "",
    ),
    row(
        "A19",
        "hostile JSON",
        &["i6_i10_every_hostile_text_gets_its_error_and_costs_nobody_else_anything"],
        "",
    ),
    row(
        "A20",
        "hostile bodies of requests",
        &["i10_a_body_that_never_comes_holds_nothing_up", "slow_bodies_of_one_tenant_slow_down_nobody_else"],
        "request smuggling through each balancer",
    ),
    row(
        "A21",
        "a made-up address of the client",
        &["a_proxy_nobody_trusts_cannot_say_where_a_client_comes_from"],
        "",
    ),
    row("A22", "metrics and health through the public port", &[], "by a test of its own"),
    row(
        "A23",
        "an idempotency key that another tenant uses",
        &["i5_nobody_sees_or_moves_the_keys_of_a_tenant_that_was_not_named"],
        "",
    ),
    row(
        "A24",
        "a ticket that is used twice",
        &[
            "a_ticket_lets_in_whom_the_token_named_and_once",
            "of_two_handshakes_that_race_on_two_nodes_one_gets_in",
        ],
        "a ticket from another address (it is not bound to one)",
    ),
    row(
        "A25",
        "cursors that are forged, negative or far ahead",
        &[
            "each_bad_query_parameter_is_400_and_named",
            "whoever_hangs_up_on_a_refused_cursor_takes_nobody_along",
        ],
        "",
    ),
    row(
        "A26",
        "SQL in every text",
        &["hostile_texts_are_only_texts"],
        "schemathesis is run by hand, not in the gate",
    ),
    row(
        "A27",
        "secrets in the environment, a core dump, the chart",
        &[
            "secrets_and_payloads_appear_in_no_log_process_list_metric_or_answer",
            "a_secret_never_appears_in_an_error_or_in_debug",
        ],
        "core dumps",
    ),
    row("A28", "what is in the images and what they may do", &[], "in the gate; `make image` looks"),
    row(
        "A29",
        "fuzzing of what reads foreign bytes",
        &[],
        "for hours, in the gate: a smoke run is; `make fuzz` takes hours",
    ),
    row(
        "A30",
        "licences and advisories of what is shipped",
        &["nothing_is_shipped_under_a_licence_that_we_may_not_ship"],
        "advisories in the gate; `make deny` looks where their database can be had",
    ),
];

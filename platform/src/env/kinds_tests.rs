//! Does each kind accept what it says it allows, and nothing else?

use super::*;

fn fault<K: Kind>(kind: K, text: &str) -> String {
    kind.parse(text).err().unwrap_or_else(|| panic!("{text:?} was accepted"))
}

#[test]
fn numbers_keep_their_range() {
    let count = Count { min: 1, max: 100 };
    assert_eq!(count.parse("1"), Ok(1));
    assert_eq!(count.parse("100"), Ok(100));
    assert_eq!(fault(count, "0"), "is \"0\", too small");
    assert_eq!(fault(count, "101"), "is \"101\", too large");
    for bad in ["", "-1", "+1", "1.5", "1e2", " 1", "１", "99999999999999999999999"] {
        assert!(fault(count, bad).contains("not a whole number"), "{bad}");
    }
}

#[test]
fn sizes_take_binary_units() {
    let size = Bytes { min: 1024, max: 1 << 30 };
    assert_eq!(size.parse("1024"), Ok(1024));
    assert_eq!(size.parse("64KiB"), Ok(64 * 1024));
    assert_eq!(size.parse("1GiB"), Ok(1 << 30));
    assert!(fault(size, "2GiB").contains("too large"));
    assert!(fault(size, "18446744073709551615GiB").contains("too large"));
    for bad in ["64KB", "64 KiB", "KiB", "1.5MiB", "-1KiB"] {
        assert!(fault(size, bad).contains("not a size"), "{bad}");
    }
    assert_eq!(size.allowed(), "bytes, or with KiB, MiB or GiB, 1 KiB to 1 GiB");
}

#[test]
fn words_are_exact() {
    assert_eq!(ON_OFF.parse("on"), Ok(true));
    assert_eq!(ON_OFF.parse("off"), Ok(false));
    for bad in ["ON", "true", "1", ""] {
        fault(ON_OFF, bad);
    }
    assert_eq!(OneOf(&[("a", 1), ("b", 2), ("c", 3)]).allowed(), "a, b or c");
}

#[test]
fn addresses_need_a_port() {
    assert!(Socket.parse("0.0.0.0:8080").is_ok() && Socket.parse("[::]:0").is_ok());
    for bad in ["8080", ":8080", "localhost:8080", "0.0.0.0", "0.0.0.0:65536"] {
        fault(Socket, bad);
    }
}

#[test]
fn lists_name_the_place_of_the_fault() {
    let list = List(Count { min: 1, max: 9 });
    assert_eq!(list.parse("1, 2 ,3"), Ok(vec![1, 2, 3]));
    assert_eq!(fault(list, "1,x"), "at place 2 is \"x\", not a whole number");
    assert_eq!(fault(list, "1,,2"), "has an empty item at place 2");
    let many = vec!["1"; 257].join(",");
    assert_eq!(fault(list, &many), "has more than 256 items");
    assert!(Cidrs.parse("10.0.0.0/8, ::1").is_ok());
    assert!(fault(Cidrs, "10.0.0.0/8,x").contains("\"x\""));
    assert!(fault(Cidrs, &vec!["::1"; 257].join(",")).contains("256"));
}

#[test]
fn urls_keep_to_their_schemes_and_hold_no_password() {
    let url = Url(&["https", "http"]);
    assert!(url.parse("https://id.example/jwks.json").is_ok());
    assert!(fault(url, "ftp://x").contains("another beginning"));
    assert!(fault(url, "//x").contains("not a URL"));
    assert!(!fault(url, "https://u:hunter2@x/").contains("hunter2"));
}

#[test]
fn secrets_are_never_repeated() {
    assert!(!fault(SecretText { min: 16 }, "hunter2").contains("hunter2"));
    let url = SecretUrl(&["postgres", "postgresql"]);
    assert_eq!(url.parse("postgres://u:p@h/db").unwrap().expose(), "postgres://u:p@h/db");
    for bad in
        ["mysql://u:hunter2@h/db", "hunter2", "postgres://u:hunter2@h:99999/db", "postgres://u:hunter2@[h/db"]
    {
        assert!(!fault(url, bad).contains("hunter2"), "{bad}");
    }
}

#[test]
fn a_database_is_one_server_or_several() {
    let url = SecretUrlOfServers(&["postgres", "postgresql"]);
    for good in [
        "postgres://u:p@h/db",
        "postgres://localhost/db",
        "postgresql:///db?host=/run/postgresql",
        "postgres://login@one:5432,other:5432/carillon?target_session_attrs=read-write",
        "postgres://u:p%2C@[::1]:5432,[::2]:5433,three/db",
    ] {
        assert_eq!(url.parse(good).unwrap().expose(), good);
    }
    for bad in [
        "",
        "hunter2",
        "mysql://u:hunter2@one,other/db",
        "postgres:hunter2",
        "postgres://u:hunter2@one:99999,other/db",
        "postgres://u:hunter2@one,other:x/db",
        "postgres://u:hunter2@one,[::1/db",
    ] {
        assert!(!fault(url, bad).contains("hunter2"), "{bad}");
    }
}

#[test]
fn texts_have_one_line_and_a_long_wrong_value_is_cut() {
    assert!(TEXT.parse("https://app.example").is_ok());
    assert!(fault(TEXT, "a\nb").contains("\\n"));
    assert!(fault(TEXT, &"ü".repeat(2_000)).chars().count() < 80);
}

#[test]
fn paths_are_taken_as_they_are() {
    assert_eq!(Path.parse("/etc/keys/jwt.pem"), Ok(PathBuf::from("/etc/keys/jwt.pem")));
    fault(Path, "a\0b");
}

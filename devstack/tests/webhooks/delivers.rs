//! Does everything that is wanted arrive, in order, and again when it is asked for?

use super::receiver::{OK, Receiver};
use super::{act, call, failed, publish, put, read, stack, until};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn every_event_arrives_once_and_in_order_and_is_as_it_is_stored() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| OK).await);
        publish(&stack, "shop", "order.old", 3).await;
        let set = put(&stack, "shop", "main", json!({"url": receiver.url})).await;
        assert!(set["secret"].as_str().unwrap().starts_with("whsec_"), "{set}");
        assert_eq!(
            (&set["seq"], &set["state"], &set["ordered"]),
            (&json!(3), &json!("enabled"), &json!(true))
        );
        let last = publish(&stack, "shop", "order.paid", 400).await;
        until("all have arrived", async || receiver.seqs().len() >= 400).await;
        assert_eq!(receiver.seqs(), (4..=last).collect::<Vec<_>>(), "from when it was set, once, in order");
        let message = receiver.messages()[0].json();
        let event = json!({"type": &message["type"], "data": &message["data"], "tenant": &message["tenant"]});
        assert_eq!(event, json!({"type": "order.paid", "data": {"n": 0}, "tenant": "shop"}));
        assert_eq!((&message["seq"], &message["sequence"]), (&json!(4), &json!("4")));
        assert_eq!(message["specversion"], "1.0");
        until("it is kept", async || read(&stack, "shop", "main").await["seq"] == last).await;
        let now = read(&stack, "shop", "main").await;
        assert!(now["secret"].is_null() && now["behind"] == 0 && now["delivered_at"].is_string(), "{now}");
    });
}

#[test]
fn only_what_is_wanted_is_sent_and_the_cursor_passes_the_rest() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| OK).await);
        publish(&stack, "filter", "a", 1).await;
        let wanted = json!({"url": receiver.url, "types": ["order.*"], "channels": ["order:*"]});
        put(&stack, "filter", "main", wanted).await;
        publish(&stack, "filter", "invoice.paid", 300).await;
        publish(&stack, "filter", "order.paid", 2).await;
        let last = publish(&stack, "filter", "invoice.paid", 300).await;
        until("the cursor is at the end", async || read(&stack, "filter", "main").await["seq"] == last).await;
        assert_eq!(receiver.seqs(), [302, 303]);
    });
}

#[test]
fn without_order_thirty_two_are_under_way_and_one_that_fails_holds_up_no_other() {
    super::wire::block_on(async {
        let receiver = Receiver::start(|message| match message.seq() {
            5 => super::receiver::Reply::Status(500, "", "not this one"),
            _ => OK,
        })
        .await;
        let stack = stack().await;
        publish(&stack, "loose", "a", 1).await;
        put(&stack, "loose", "main", json!({"url": receiver.url, "ordered": false})).await;
        let last = publish(&stack, "loose", "order.paid", 300).await;
        until("the cursor is at the end", async || read(&stack, "loose", "main").await["seq"] == last).await;
        let mut seqs = receiver.first_seqs();
        seqs.sort_unstable();
        assert_eq!(seqs, (2..=last).collect::<Vec<_>>());
        let rows = failed(&stack, "loose", "main").await;
        assert_eq!((rows.len(), &rows[0]["seq"], &rows[0]["state"]), (1, &json!(5), &json!("retrying")));
        assert_eq!(
            (&rows[0]["attempts"][0]["status"], &rows[0]["answer"]),
            (&json!(500), &json!("not this one"))
        );
        receiver.answers(|_| OK);
        until("it was tried again by itself", async || failed(&stack, "loose", "main").await.is_empty())
            .await;
        let tries: Vec<_> = receiver.messages().into_iter().filter(|message| message.seq() == 5).collect();
        // More of them if the others took longer than that.
        assert!(
            tries.len() >= 2 && tries[1].at.duration_since(tries[0].at).as_secs_f64() > 4.4,
            "after 5 s ± 10 %"
        );
        assert_eq!(tries[0].header("webhook-id"), tries[1].header("webhook-id"));
        assert_ne!(tries[0].header("webhook-timestamp"), tries[1].header("webhook-timestamp"), "signed anew");
    });
}

#[test]
fn an_ordered_endpoint_that_fails_gets_the_event_first_when_it_works_again() {
    super::wire::block_on(async {
        let receiver = Receiver::start(|_| super::receiver::Reply::Status(503, "", "")).await;
        let stack = stack().await;
        publish(&stack, "strict", "a", 1).await;
        put(&stack, "strict", "main", json!({"url": receiver.url})).await;
        let last = publish(&stack, "strict", "order.paid", 20).await;
        until("it has failed", async || read(&stack, "strict", "main").await["retrying"] == 1).await;
        let now = read(&stack, "strict", "main").await;
        assert_eq!((&now["seq"], &now["behind"]), (&json!(1), &json!(20)), "{now}");
        assert!(now["failing_since"].is_string() && now["waits_until"].is_string(), "{now}");
        receiver.answers(|_| OK);
        until("all have arrived", async || receiver.first_seqs().len() as u64 == last - 1).await;
        // On a busy machine it may have failed more than once before the endpoint worked.
        let seqs = receiver.seqs();
        let (firsts, rest) = seqs.split_at(seqs.iter().take_while(|seq| **seq == 2).count());
        assert!(firsts.len() >= 2 && *rest == *(3..=last).collect::<Vec<_>>(), "{seqs:?}");
        until("nothing is failing", async || {
            let now = read(&stack, "strict", "main").await;
            now["failing_since"].is_null() && now["retrying"] == 0 && now["seq"] == last
        })
        .await;
    });
}

#[test]
fn a_replay_is_a_cursor_that_is_moved_and_names_what_it_cannot_do() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| OK).await);
        let last = publish(&stack, "again", "order.paid", 10).await;
        put(&stack, "again", "main", json!({"url": receiver.url})).await;
        let (status, answer) = act(&stack, "again", "main", "replay", json!({"from_seq": "8"})).await;
        assert_eq!((status, &answer["seq"]), (200, &json!(7)), "{answer}");
        until("those have arrived", async || receiver.seqs().len() >= 3).await;
        assert_eq!(receiver.seqs(), [8, 9, 10]);
        let (status, _) = act(&stack, "again", "main", "replay", json!({"from_seq": 10})).await;
        assert_eq!(status, 200);
        until("it has arrived again", async || receiver.seqs().len() >= 4).await;
        let messages = receiver.messages();
        assert_eq!(messages[2].header("webhook-id"), messages[3].header("webhook-id"));
        for (body, pointer) in [
            (json!({"from_seq": last + 2}), "/from_seq"),
            (json!({"from_seq": 0}), "/from_seq"),
            (json!({}), "/from_seq"),
            (json!({"from_seq": 1, "to_seq": 2}), "/to_seq"),
        ] {
            let (status, answer) = act(&stack, "again", "main", "replay", body.clone()).await;
            assert_eq!((status, &answer["code"]), (422, &json!("invalid_webhook")), "{body}: {answer}");
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let (status, _) = act(&stack, "again", "other", "replay", json!({"from_seq": 1})).await;
        assert_eq!(status, 404);
    });
}

#[test]
fn a_parked_delivery_is_sent_again_by_a_person_and_order_goes_on_without_it() {
    super::wire::block_on(async {
        let receiver = Receiver::start(|message| match message.seq() {
            2 => super::receiver::Reply::Status(400, "", "never"),
            _ => OK,
        })
        .await;
        let stack = stack().await;
        publish(&stack, "parked", "a", 1).await;
        put(&stack, "parked", "main", json!({"url": receiver.url})).await;
        let last = publish(&stack, "parked", "order.paid", 3).await;
        until("it has failed", async || failed(&stack, "parked", "main").await.len() == 1).await;
        // Six failures later: 17 hours and 36 minutes are not waited for.
        let age =
            "UPDATE carillon.webhook_deliveries SET failures = 6, next_at = now() WHERE tenant_id = 'parked';
            UPDATE carillon.webhooks SET waits_until = now() WHERE tenant_id = 'parked'";
        stack.sql(age).await.unwrap();
        until("it is parked and the others are there", async || {
            read(&stack, "parked", "main").await["parked"] == 1 && receiver.first_seqs() == [2, 3, 4]
        })
        .await;
        let row = failed(&stack, "parked", "main").await.remove(0);
        assert_eq!(
            (&row["state"], &row["failures"], &row["next_at"]),
            (&json!("parked"), &json!(7), &Value::Null)
        );
        receiver.answers(|_| OK);
        let (status, _) = act(&stack, "parked", "main", "deliveries/2/retry", json!({})).await;
        assert_eq!(status, 202);
        until("it was delivered", async || failed(&stack, "parked", "main").await.is_empty()).await;
        assert_eq!(
            (receiver.seqs().last(), read(&stack, "parked", "main").await["seq"].as_u64()),
            (Some(&2), Some(last))
        );
        let (status, answer) = act(&stack, "parked", "main", "deliveries/2/retry", json!({})).await;
        assert_eq!((status, &answer["code"]), (404, &json!("not_found")));
    });
}

#[test]
fn a_test_says_what_the_endpoint_answers_and_a_switch_holds() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| OK).await);
        publish(&stack, "switch", "a", 1).await;
        put(&stack, "switch", "main", json!({"url": receiver.url})).await;
        let (status, answer) = act(&stack, "switch", "main", "disable", json!({})).await;
        assert_eq!(
            (status, &answer["state"], &answer["reason"]),
            (200, &json!("disabled"), &json!("administrator"))
        );
        let (status, answer) = act(&stack, "switch", "main", "test", Value::Null).await;
        let expected = (json!(true), json!(200), json!("thanks"));
        assert_eq!(status, 200);
        assert_eq!(
            (&answer["delivered"], &answer["status"], &answer["answer"]),
            (&expected.0, &expected.1, &expected.2)
        );
        assert_eq!(receiver.messages()[0].json()["type"], "carillon.webhook.test");
        let last = publish(&stack, "switch", "order.paid", 2).await;
        let (status, answer) = act(&stack, "switch", "main", "enable", json!({})).await;
        assert_eq!(
            (status, &answer["state"], &answer["behind"]),
            (200, &json!("enabled"), &json!(2)),
            "nothing was sent"
        );
        until("they have arrived", async || read(&stack, "switch", "main").await["seq"] == last).await;
        assert_eq!(receiver.messages().len(), 3);
        let gone = call(&stack, Method::DELETE, "/v1/webhooks/main?tenant=switch", Value::Null).await;
        assert_eq!(gone.0, 204);
        let (status, answer) = call(&stack, Method::GET, "/v1/webhooks?tenant=switch", Value::Null).await;
        assert_eq!((status, answer), (200, json!({"webhooks": []})));
    });
}

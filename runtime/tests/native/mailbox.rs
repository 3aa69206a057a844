//! Messages from any thread into a shard.

use crate::options;
use millrace_runtime::{MailboxClosed, MailboxSender, launch, mailbox, sleep, spawn};
use std::{sync::mpsc, thread, time::Duration};

/// Starts a shard that sums what comes until it gets zero, and gives its sender.
fn summing_shard(capacity: usize) -> (MailboxSender<u64>, thread::JoinHandle<u64>) {
    let (senders, received) = mpsc::channel();
    let launched = launch(&options(1), move |shard| {
        let (sender, mailbox) = mailbox(&shard, capacity);
        senders.send(sender).unwrap();
        async move {
            let mut sum = 0;
            loop {
                match mailbox.recv().await {
                    0 => return sum,
                    n => sum += n,
                }
            }
        }
    })
    .unwrap();
    let sender = received.recv().unwrap();
    (sender, thread::spawn(move || launched.join().unwrap()[0]))
}

#[test]
fn many_threads_send_and_nothing_is_lost() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let (sender, shard) = summing_shard(64);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                for n in 1..=EACH {
                    let mut message = n;
                    while let Err(refused) = sender.send(message) {
                        let MailboxClosed::Full(back) = refused else { panic!("the shard has stopped") };
                        message = back;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    while sender.send(0).is_err() {
        thread::yield_now();
    }
    assert_eq!(shard.join().unwrap(), THREADS * EACH * (EACH + 1) / 2);
    // The shard has stopped; the message comes back.
    assert!(matches!(sender.send(5), Err(MailboxClosed::Closed(5))));
}

/// One message at a time, each to a shard that has gone to sleep or is about to.
#[test]
fn a_parked_shard_hears_every_bell() {
    let (sender, received) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let launched = launch(&options(1), move |shard| {
        let (mail, mailbox) = mailbox(&shard, 1);
        sender.send(mail).unwrap();
        let answer = answer.clone();
        async move {
            loop {
                let n: u64 = mailbox.recv().await;
                answer.send(n).unwrap();
                if n == 0 {
                    return;
                }
            }
        }
    })
    .unwrap();
    let mail = received.recv().unwrap();
    for n in (0..30_000).rev() {
        mail.send(n).unwrap();
        assert_eq!(answers.recv(), Ok(n));
        for _ in 0..n % 200 {
            std::hint::spin_loop();
        }
    }
    launched.join().unwrap();
}

#[test]
fn a_full_or_dropped_mailbox_refuses() {
    let launched = launch(&options(1), async |shard| {
        let (sender, mailbox) = mailbox(&shard, 2);
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert!(matches!(sender.send(3), Err(MailboxClosed::Full(3))));
        assert_eq!(mailbox.recv().await, 1);
        sender.send(3).unwrap();
        drop(mailbox);
        assert!(matches!(sender.send(4), Err(MailboxClosed::Closed(4))));

        // A message that lies there while its receiver is busy elsewhere does not keep the shard from sleeping.
        let (sender, mailbox) = millrace_runtime::mailbox(&shard, 2);
        let receiving = spawn(async move {
            assert_eq!(mailbox.recv().await, 1);
            sleep(Duration::from_millis(20)).await;
            assert_eq!(mailbox.recv().await, 2);
        });
        sender.send(1).unwrap();
        sleep(Duration::from_millis(5)).await;
        sender.send(2).unwrap();
        receiving.await.expect("not cancelled");
    });
    launched.unwrap().join().unwrap();
}

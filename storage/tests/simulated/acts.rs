//! What can be done to a log, each noted in the model before and after.

use crate::{
    batches::Shape,
    drive::{Life, Shared, append, below},
    model::LogModel,
};
use millrace_record::{BatchMeta, Offset};
use millrace_runtime::yield_now;
use millrace_storage::{Log, LogKey};

pub(crate) async fn advance_start(log: &Log, model: &Shared) {
    let offset = log.start_offset() + below((log.high_watermark() - log.start_offset()) as u64 + 1) as Offset;
    let change = |change: &mut dyn FnMut(&mut LogModel)| {
        change(model.borrow_mut().logs.get_mut(&log.key()).unwrap());
    };
    change(&mut |expected| expected.start_asked = expected.start_asked.max(offset));
    log.advance_start(offset).await.unwrap();
    change(&mut |expected| expected.start = expected.start.max(offset));
}

pub(crate) async fn cut(log: &Log, model: &Shared) {
    log.durable().await.unwrap();
    yield_now().await;
    let to = log.start_offset() + below((log.end_offset() - log.start_offset()) as u64 + 1) as Offset;
    let key = log.key();
    {
        let mut model = model.borrow_mut();
        let expected = model.logs.get_mut(&key).unwrap();
        let end = expected.end();
        expected.acknowledge(end);
        expected.cut_asked = Some(to);
    }
    let cut = log.cut(to).await;
    let mut model = model.borrow_mut();
    let expected = model.logs.get_mut(&key).unwrap();
    expected.cut_asked = None;
    let Ok(end) = cut else {
        let first = expected.batches.iter().find(|batch| batch.next_offset > to);
        assert!(first.is_some_and(|batch| batch.offset < log.start_offset()), "{log:?} cut to {to}: {cut:?}");
        return;
    };
    expected.cut(to);
    assert_eq!(end.max(log.start_offset()), expected.end().max(log.start_offset()), "{log:?} cut to {to}");
}

pub(crate) async fn remove(life: &Life, model: &Shared, key: LogKey) {
    model.borrow_mut().logs.get_mut(&key).unwrap().removal_asked = true;
    life.store(key).remove(key.topic, key.partition).await.unwrap();
    model.borrow_mut().logs.get_mut(&key).unwrap().removed = true;
}

/// Appends as an idempotent producer that repeats itself and forgets things.
pub(crate) async fn produce(log: &Log, model: &Shared) {
    let (id, sequence) = {
        let mut model = model.borrow_mut();
        model.next_id += 1;
        (model.next_id, model.logs[&log.key()].sequence)
    };
    let meta = BatchMeta { producer_id: 5, producer_epoch: 0, base_sequence: sequence, ..BatchMeta::PLAIN };
    let shape = Shape { records: 2, meta, ..Shape::plain(id, below(2000) as usize) };
    append(log, model, &shape.build()).await.unwrap();
    let offset = {
        let mut model = model.borrow_mut();
        let expected = model.logs.get_mut(&log.key()).unwrap();
        expected.sequence += 2;
        expected.batches.last().unwrap().offset
    };
    if below(3) == 0 {
        // The answer was lost: the client sends the same again.
        let again = log.append(&shape.build().as_batch(), None).await.unwrap();
        assert!(again.is_duplicate && again.base_offset == offset, "{log:?}: {again:?}");
    }
    if below(5) == 0 {
        let meta = BatchMeta { base_sequence: sequence + 5, ..meta };
        let gap = Shape { meta, ..shape }.build();
        log.append(&gap.as_batch(), None).await.unwrap_err();
    }
}

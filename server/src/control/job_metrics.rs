//! Figures of jobs, summed up over shards.

use super::metrics::{Labels, counters, family, gauges, signed};
use millrace_engine::{
    metrics::{JobMetrics, OperatorMetrics, TaskMetrics},
    plan::StageId,
};
use prometheus_client::{
    encoding::DescriptorEncoder,
    metrics::{MetricType, counter::ConstCounter},
};
use std::{collections::BTreeMap, fmt};

/// Job, its number, a task's number among the job's stages, the task's name.
type Task = Labels<String, 4>;

/// A figure that each operator has one of.
type OperatorFigure = (&'static str, &'static str, fn(&OperatorMetrics) -> u64);

const PER_OPERATOR: &[OperatorFigure] = &[
    ("job_records_in", "Records that an operator has taken in, in this attempt of its job", |it| {
        it.records_in
    }),
    ("job_records_out", "Records that an operator has handed on, in this attempt of its job", |it| {
        it.records_out
    }),
    (
        "job_late_records",
        "Records that came after their window had fired, in this attempt of the job",
        |it| it.late_records,
    ),
];

/// A figure that each task has one of, in ns.
type TaskFigure = (&'static str, &'static str, fn(&TaskMetrics) -> u64);

const PER_TASK: &[TaskFigure] = &[
    ("job_busy_seconds", "Time that a task has worked, over all shards", |task| task.busy_ns),
    (
        "job_blocked_seconds",
        "Time during which a task could take nothing because of what comes after it, over all shards",
        |task| task.blocked_ns,
    ),
];

/// Tells of all jobs that run on these shards.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, shards: &[&[JobMetrics]]) -> fmt::Result {
    let tasks = tasks(shards);
    for (name, help, value) in PER_OPERATOR {
        let mut sums = BTreeMap::new();
        for (labels, task) in &tasks {
            for (index, operator) in task.operators.iter().enumerate() {
                *sums.entry((labels.clone(), index, operator.name.clone())).or_default() += value(operator);
            }
        }
        let values = sums.into_iter().map(|(([job, id, task, _], index, operator), sum)| {
            // Operators of one kind may have one name.
            ([job, id, task, ("position", index.to_string()), ("operator", operator)], sum)
        });
        counters(encoder, name, help, values)?;
    }
    for (name, help, value) in PER_TASK {
        let mut sums = BTreeMap::<&Task, u64>::new();
        tasks.iter().for_each(|(labels, task)| *sums.entry(labels).or_default() += value(task));
        let values =
            sums.into_iter().map(|(labels, ns)| (labels.clone(), ConstCounter::new(ns as f64 / 1e9)));
        family(encoder, name, help, MetricType::Counter, values)?;
    }
    let mut lags = BTreeMap::<&Task, u64>::new();
    let mut watermarks = BTreeMap::<&Task, i64>::new();
    for (labels, task) in &tasks {
        if let Some(lag) = task.lag {
            *lags.entry(labels).or_default() += lag;
        }
        let least = watermarks.entry(labels).or_insert(i64::MAX);
        *least = task.watermark.min(*least);
    }
    let lags = lags.into_iter().map(|(labels, lag)| (labels.clone(), signed(lag)));
    gauges(encoder, "job_lag", "Records that a source could read and has not", lags)?;
    let told = watermarks.into_iter().filter(|(_, at_ms)| *at_ms > i64::MIN && *at_ms < i64::MAX);
    let told = told.map(|(labels, at_ms)| (labels.clone(), at_ms.div_euclid(1000)));
    gauges(
        encoder,
        "job_watermark_seconds",
        "A task's watermark, in seconds since the Unix epoch: the least of all shards",
        told,
    )
}

fn tasks<'a>(shards: &[&'a [JobMetrics]]) -> Vec<(Task, &'a TaskMetrics)> {
    let mut tasks = Vec::new();
    for job in shards.iter().flat_map(|jobs| jobs.iter()) {
        for task in &job.tasks {
            let labels = [
                ("job", job.name.clone()),
                ("id", job.job.to_string()),
                ("stage", StageId::of_task(task.task).0.to_string()),
                ("task", task.name.clone()),
            ];
            tasks.push((labels, task));
        }
    }
    tasks
}

//! What a job needs: `use millrace_engine::prelude::*;`.

pub use crate::{
    Data,
    aggregate::{Aggregate, Average, Count, Elements, ElementsView, Max, Min, Percentile, Sum},
    operator::{KeyContext, Operator, OrderedState, PointState, Process, ProcessOpen, Push},
    registry::{JobBuilder, Parameters, Registry},
    sink::{SinkEncoding, SinkOptions, TopicRecord},
    stream::{Pipeline, Stream},
    task::Flow,
    watermark::{WatermarkStrategy, Watermarks},
    window::{Tumbling, Windowed},
};

//! What the program writes and shows: DICOM, ONNX, HTML reports, figures, TensorBoard, the terminal.
//!
//! A module uses only those above it in this list: `text`, `dicom`, `onnx`, `tensorboard`, `terminal`, `html`, `figures`.

pub mod dicom;
pub mod figures;
pub mod html;
pub mod onnx;
pub mod tensorboard;
pub mod terminal;
pub mod text;

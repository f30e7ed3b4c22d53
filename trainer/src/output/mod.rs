//! What the program writes and shows: DICOM, ONNX, HTML reports, figures, TensorBoard, the terminal.

pub mod dicom;
pub mod figures;
pub mod html;
pub mod onnx;
pub mod tensorboard;
pub mod terminal;

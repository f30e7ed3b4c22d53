//! A user's own picture, decoded by the browser. It stays in this tab.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, CanvasRenderingContext2d, File, HtmlCanvasElement, ImageBitmap};

use crate::crop::{MAX_PICTURE_BYTES, cover, luma};
use crate::protocol::{Picture, Problem};

/// Decodes a file, and scales its middle to the given width and height, in grey.
///
/// # Errors
/// The file is too large, or the browser cannot decode it.
pub(super) async fn read(file: &File, size: (u32, u32)) -> Result<Picture, Problem> {
    let bytes = file.size() as u64;
    if bytes > MAX_PICTURE_BYTES {
        return Err(Problem::TooLarge { file: file.name(), bytes, max: MAX_PICTURE_BYTES });
    }
    decode(file, size).await.map_err(|error| {
        web_sys::console::warn_1(&error);
        Problem::BadPicture { file: file.name() }
    })
}

/// Decodes a picture of any format that the browser knows.
pub(super) async fn decode(file: &Blob, (width, height): (u32, u32)) -> Result<Picture, JsValue> {
    let bitmap = leptos::prelude::window().create_image_bitmap_with_blob(file)?;
    let bitmap: ImageBitmap = JsFuture::from(bitmap).await?.dyn_into()?;
    let part = cover((bitmap.width(), bitmap.height()), (width, height)).ok_or("a picture without pixels")?;
    let canvas: HtmlCanvasElement = leptos::prelude::document().create_element("canvas")?.dyn_into()?;
    canvas.set_width(width);
    canvas.set_height(height);
    let context: CanvasRenderingContext2d = canvas.get_context("2d")?.ok_or("no canvas")?.dyn_into()?;
    // This avoids moiré when large pictures shrink. web-sys lacks this attribute.
    Reflect::set(&context, &"imageSmoothingQuality".into(), &"high".into())?;
    context.draw_image_with_image_bitmap_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
        &bitmap,
        part.left,
        part.top,
        part.width,
        part.height,
        0.0,
        0.0,
        width.into(),
        height.into(),
    )?;
    bitmap.close();
    let pixels = context.get_image_data(0.0, 0.0, width.into(), height.into())?.data();
    Ok(Picture { width, height, pixels: luma(&pixels) })
}

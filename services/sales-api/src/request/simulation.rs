//! Which step of a delivery is to be simulated.

use domain::DeliveryStep;

use super::body_reader::BodyReader;
use crate::problem::ApiError;

/// Reads `{"status":"shipped"}` or `{"status":"delivered"}`.
pub(crate) fn simulated_step(body: &[u8]) -> Result<DeliveryStep, ApiError> {
    BodyReader::read(body, |reader, json| {
        let simulation = reader.object("", json, &["status"])?;
        reader.text("", &simulation, "status", |text| text.parse())
    })
}

//! Redfish documents as DMTF's mockups have them (DSP2043), served here.

use serde_json::{Value, json};
use vmferry_core::Watts;
use vmferry_measure::power::{PowerMeter as _, Redfish, Trust, parse_power_reading};

use crate::watts;
use crate::web::Web;

const CHASSIS: &str = "/redfish/v1/Chassis/1U";

fn chassis() -> Value {
    json!({
        "@odata.type": "#Chassis.v1_22_0.Chassis",
        "@odata.id": CHASSIS,
        "Id": "1U",
        "Name": "Computer System Chassis",
        "ChassisType": "RackMount",
        "PowerState": "On",
        "EnvironmentMetrics": { "@odata.id": format!("{CHASSIS}/EnvironmentMetrics") },
        "Power": { "@odata.id": format!("{CHASSIS}/Power") }
    })
}

fn power(watts: Value) -> Value {
    json!({
        "@odata.type": "#Power.v1_7_1.Power",
        "@odata.id": format!("{CHASSIS}/Power"),
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [{
            "@odata.id": format!("{CHASSIS}/Power#/PowerControl/0"),
            "MemberId": "0",
            "Name": "System Input Power",
            "PowerConsumedWatts": watts,
            "PowerRequestedWatts": 800,
            "PowerCapacityWatts": 800,
            "PowerMetrics": {
                "IntervalInMin": 30, "MinConsumedWatts": 271,
                "MaxConsumedWatts": 489, "AverageConsumedWatts": 319
            },
            "PowerLimit": { "LimitInWatts": 500, "LimitException": "LogEventOnly" }
        }, {
            "@odata.id": format!("{CHASSIS}/Power#/PowerControl/1"),
            "MemberId": "1",
            "Name": "CPU Sub-system Power",
            "PowerConsumedWatts": 120.5
        }],
        "PowerSupplies": [{ "MemberId": "0", "LastPowerOutputWatts": 325 }]
    })
}

fn environment(watts: Value) -> Value {
    json!({
        "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
        "@odata.id": format!("{CHASSIS}/EnvironmentMetrics"),
        "Id": "EnvironmentMetrics",
        "Name": "Chassis Environment Metrics",
        "TemperatureCelsius": { "Reading": 39 },
        "PowerWatts": {
            "DataSourceUri": format!("{CHASSIS}/Sensors/TotalPower"),
            "Reading": watts, "ApparentVA": 384, "PowerFactor": 0.975
        },
        "EnergykWh": { "Reading": 2774.5 }
    })
}

#[test]
fn readings_in_documents() {
    let of = |document: &Value, pointer| parse_power_reading(document, pointer);
    assert_eq!(of(&power(json!(344)), None), Ok(Watts(344.0)));
    assert_eq!(of(&power(json!(null)), None), Ok(Watts(120.5)));
    let part = Some("/PowerControl/1");
    assert_eq!(of(&power(json!(344)), part), Ok(Watts(120.5)));
    let average = Some("/PowerControl/0/PowerMetrics/AverageConsumedWatts");
    assert_eq!(of(&power(json!(344)), average), Ok(Watts(319.0)));
    assert_eq!(of(&environment(json!(374.5)), None), Ok(Watts(374.5)));
    for (document, pointer, words) in [
        (environment(json!(null)), None, "holds no reading now"),
        (chassis(), None, "neither PowerControl nor PowerWatts"),
        (
            power(json!(1)),
            Some("/PowerControl/7"),
            "nothing at #/PowerControl/7",
        ),
        (
            power(json!(1)),
            Some("/PowerSupplies"),
            "no power at #/PowerSupplies",
        ),
    ] {
        let error = of(&document, pointer).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_service_is_read_again_and_again() {
    // root with the password calvin.
    let web = Web::start(Some("Basic cm9vdDpjYWx2aW4="));
    let metrics = format!("{CHASSIS}/EnvironmentMetrics");
    web.set(CHASSIS, &chassis().to_string());
    web.set(&metrics, &environment(json!(374)).to_string());
    let url = format!("http://root@{}{CHASSIS}", web.host());
    let mut meter = Redfish::new(&url, Some("calvin"), &Trust::System).unwrap();
    assert_eq!(
        meter.name(),
        format!("Redfish http://{}{CHASSIS}", web.host())
    );
    assert_eq!(watts(&mut meter).await.unwrap(), 374.0);
    web.set(&metrics, &environment(json!(411.25)).to_string());
    assert_eq!(watts(&mut meter).await.unwrap(), 411.25);
    web.set(&metrics, "{ \"PowerWatts\": ");
    let error = watts(&mut meter).await.unwrap_err().to_string();
    assert!(error.contains("the answer is no JSON"), "{error}");

    let mut stranger = Redfish::new(&url, None, &Trust::System).unwrap();
    let error = watts(&mut stranger).await.unwrap_err().to_string();
    assert!(error.contains("VMFERRY_REDFISH_PASSWORD"), "{error}");
    assert!(!error.contains("calvin"), "{error}");
}

#[tokio::test]
async fn environment_metrics_without_a_power_leave_it_to_the_older_document() {
    let web = Web::start(None);
    web.set(CHASSIS, &chassis().to_string());
    let url = format!("http://{}{CHASSIS}", web.host());
    let mut meter = Redfish::new(&url, None, &Trust::System).unwrap();
    let error = watts(&mut meter).await.unwrap_err().to_string();
    assert!(error.contains("no such document"), "{error}");
    let mut fans = environment(json!(374));
    fans.as_object_mut().unwrap().remove("PowerWatts");
    web.set(&format!("{CHASSIS}/EnvironmentMetrics"), &fans.to_string());
    let path = format!("{CHASSIS}/Power");
    web.set(&path, &power(json!(344)).to_string());
    assert_eq!(watts(&mut meter).await.unwrap(), 344.0);
    web.set(&path, &power(json!(351)).to_string());
    assert_eq!(watts(&mut meter).await.unwrap(), 351.0);
}

#[tokio::test]
async fn older_services_and_parts() {
    let web = Web::start(None);
    let path = format!("{CHASSIS}/Power");
    web.set(&path, &power(json!(344)).to_string());
    let mut older = chassis();
    older.as_object_mut().unwrap().remove("EnvironmentMetrics");
    web.set(CHASSIS, &older.to_string());
    for (below, expected) in [
        (CHASSIS, 344.0),
        (&path, 344.0),
        (&format!("{path}#/PowerControl/1"), 120.5),
    ] {
        let url = format!("http://{}{below}", web.host());
        let mut meter = Redfish::new(&url, None, &Trust::System).unwrap();
        assert_eq!(watts(&mut meter).await.unwrap(), expected);
    }
    let url = format!("http://{}/redfish/v1/Chassis/None", web.host());
    let mut missing = Redfish::new(&url, None, &Trust::System).unwrap();
    let error = watts(&mut missing).await.unwrap_err().to_string();
    assert!(error.contains("no such document"), "{error}");
    // Nobody listens on port 1.
    let mut nobody = Redfish::new("http://127.0.0.1:1/redfish/v1", None, &Trust::System).unwrap();
    let error = watts(&mut nobody).await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:1/redfish/v1"), "{error}");
}

#[cfg(not(feature = "https"))]
#[tokio::test]
async fn without_https_it_says_how_to_get_it() {
    let mut meter = Redfish::new("https://127.0.0.1:1/redfish/v1", None, &Trust::System).unwrap();
    let error = watts(&mut meter).await.unwrap_err().to_string();
    assert!(error.contains("--features https"), "{error}");
}

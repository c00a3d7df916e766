"""A car."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.envs.tools.bfcl.multi_turn.published import ExtendedList, published_table

__all__ = ["VehicleControlAPI"]

FULL_TANK = 50  # gallons
MILES_PER_GALLON = 20.0
# Public attributes with what they are where the scenario does not say, in the scenario's words.
_DEFAULTS: dict[str, Any] = {
    "fuelLevel": 0.0,
    "batteryVoltage": 12.6,
    "acTemperature": 25.0,
    "fanSpeed": 50,
    "acMode": "auto",
    "humidityLevel": 50.0,
    "headLightStatus": "off",
    "parkingBrakeStatus": "released",
    "brakePedalStatus": "released",
    "distanceToNextVehicle": 50.0,
    "cruiseStatus": "inactive",
    "destination": "None",
    "frontLeftTirePressure": 32.0,
    "frontRightTirePressure": 32.0,
    "rearLeftTirePressure": 30.0,
    "rearRightTirePressure": 30.0,
}
_ZIP_CODES = {
    "Rivermist": "83214",
    "Stonebrook": "74532",
    "Maplecrest": "56108",
    "Silverpine": "62947",
    "Shadowridge": "71354",
    "Sunset Valley": "83462",
    "Oakendale": "47329",
    "Willowbend": "52013",
    "Crescent Hollow": "69238",
    "Autumnville": "51479",
    "San Francisco": "94016",
}
_DISTANCES = {
    frozenset(pair): distance
    for *pair, distance in (
        ("83214", "74532", 750.0),
        ("56108", "62947", 320.0),
        ("71354", "83462", 450.0),
        ("47329", "52013", 290.0),
        ("69238", "51479", 630.0),
        ("94016", "83214", 980.0),
        ("94016", "94704", 600.0),
        ("94704", "08540", 2550.0),
        ("94016", "08540", 1950.0),
        ("62947", "47329", 1053.0),
        ("94016", "62947", 780.0),
        ("74532", "94016", 880.0),
    )
}


def _long(name: str) -> Any:
    return published_table("long_context.py", name)


class VehicleControlAPI(Api):
    """Engine, doors, climate, lights, brakes, tyres and navigation."""

    _default_seed = 141053
    fuelLevel: float
    batteryVoltage: float
    acTemperature: float
    fanSpeed: int
    acMode: str
    humidityLevel: float
    headLightStatus: str
    parkingBrakeStatus: str
    brakePedalStatus: str
    distanceToNextVehicle: float
    cruiseStatus: str
    destination: str
    frontLeftTirePressure: float
    frontRightTirePressure: float
    rearLeftTirePressure: float
    rearRightTirePressure: float

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        for name, default in _DEFAULTS.items():
            setattr(self, name, scenario.get(name, default))
        self.engine_state: str = scenario.get("engineState", "stopped")
        self.doorStatus: dict[str, str] = scenario.get(
            "doorStatus", dict.fromkeys(("driver", "passenger", "rear_left", "rear_right"), "unlocked")
        )
        self.remainingUnlockedDoors = 4 - sum(status == "locked" for status in self.doorStatus.values())
        self._parkingBrakeForce: float = scenario.get("parkingBrakeForce", 0.0)
        self._slopeAngle: float = scenario.get("slopeAngle", 0.0)
        self._brakePedalForce: float = scenario.get("brakePedalForce", 0.0)
        self.long_context = long_context

    def startEngine(self, ignitionMode: str) -> Result:
        """Starts the engine, doors locked and brake pressed; "STOP" stops it."""
        if ignitionMode == "STOP":
            self.engine_state = "stopped"
        if self.remainingUnlockedDoors > 0:
            unlocked = ", ".join(door for door, status in self.doorStatus.items() if status == "unlocked")
            return {
                "error": f"All doors must be locked before starting the engine. Here are the unlocked doors: {unlocked}"
            }
        if self.brakePedalStatus != "pressed":
            return {"error": "Brake pedal needs to be pressed when starting the engine."}
        if self._brakePedalForce != 1000.0:
            return {"error": "Must press the brake fully before starting the engine."}
        if self.fuelLevel < 0.0:
            return {"error": "Fuel tank is empty."}
        if ignitionMode != "START":
            return {"error": "Invalid ignition mode."}
        self.engine_state = "running"
        return {"engineState": "running", "fuelLevel": self.fuelLevel, "batteryVoltage": self.batteryVoltage}

    def fillFuelTank(self, fuelAmount: float) -> Result:
        """Adds gallons of fuel."""
        if fuelAmount < 0:
            return {"error": "Fuel amount cannot be negative."}
        if self.fuelLevel + fuelAmount > FULL_TANK:
            return {"error": "Cannot fill gas above the tank capacity."}
        if self.fuelLevel + fuelAmount < 0.0:
            return {"error": "Fuel tank is empty. Min fuel level is 0 gallons."}
        self.fuelLevel += fuelAmount
        return {"fuelLevel": self.fuelLevel}

    def lockDoors(self, unlock: bool, door: list[str]) -> Result:
        """Locks or unlocks doors."""
        status, change = ("unlocked", 1) if unlock else ("locked", -1)
        for name in door:
            if self.doorStatus[name] != status:
                self.doorStatus[name] = status
                self.remainingUnlockedDoors += change
        return {"lockStatus": status, "remainingUnlockedDoors": self.remainingUnlockedDoors}

    def adjustClimateControl(
        self, temperature: float, unit: str = "celsius", fanSpeed: int = 50, mode: str = "auto"
    ) -> Result:
        """Sets temperature, fan and mode."""
        if not 0 <= fanSpeed <= 100:
            return {"error": "Fan speed must be between 0 and 100."}
        self.acTemperature = temperature
        if unit == "fahrenheit":
            self.acTemperature = (temperature - 32) * 5 / 9
        self.fanSpeed = fanSpeed
        self.acMode = mode
        return {"currentACTemperature": temperature, "climateMode": mode, "humidityLevel": self.humidityLevel}

    def get_outside_temperature_from_google(self) -> Result:
        """Some temperature."""
        weather = _long("LONG_WEATHER_EXTENSION") if self.long_context else {}
        return {**weather, "outsideTemperature": self._drawn("uniform", -10.0, 40.0)}

    def get_outside_temperature_from_weather_com(self) -> Result:
        """Always out of order."""
        return {"error": 404}

    def setHeadlights(self, mode: str) -> Result:
        """Lights on; off, also for "auto"."""
        if mode not in ["on", "off", "auto"]:
            return {"error": "Invalid headlight mode."}
        self.headLightStatus = "on" if mode == "on" else "off"
        return {"headlightStatus": self.headLightStatus}

    def displayCarStatus(self, option: str) -> Result:
        """One part of the car's state."""
        status: Result = {"metadata": _long("CAR_STATUS_METADATA_EXTENSION")} if self.long_context else {}
        if option == "fuel":
            status["fuelLevel"] = self.fuelLevel
        elif option == "battery":
            status["batteryVoltage"] = self.batteryVoltage
        elif option == "doors":
            status["doorStatus"] = self.doorStatus
        elif option == "climate":
            status["currentACTemperature"] = self.acTemperature
            status["fanSpeed"] = self.fanSpeed
            status["climateMode"] = self.acMode
            status["humidityLevel"] = self.humidityLevel
        elif option == "headlights":
            status["headlightStatus"] = self.headLightStatus
        elif option == "parkingBrake":
            status["parkingBrakeStatus"] = self.parkingBrakeStatus
            status["parkingBrakeForce"] = self._parkingBrakeForce
            status["slopeAngle"] = self._slopeAngle
        elif option == "brakePedal":
            status["brakePedalStatus"] = self.brakePedalStatus
            status["brakePedalForce"] = self._brakePedalForce
        elif option == "engine":
            status["engineState"] = self.engine_state
        else:
            status["error"] = "Invalid option"
        return status

    def activateParkingBrake(self, mode: str) -> Result:
        """Engages or releases the parking brake."""
        if mode not in ["engage", "release"]:
            return {"error": "Invalid mode"}
        self.parkingBrakeStatus, self._parkingBrakeForce = ("engaged", 500.0) if mode == "engage" else ("released", 0.0)
        self._slopeAngle = 10.0
        start = {"parkingBrakeInstruction": _long("PARKING_BRAKE_INSTRUCTION")} if self.long_context else {}
        return {
            **start,
            "parkingBrakeStatus": self.parkingBrakeStatus,
            "_parkingBrakeForce": self._parkingBrakeForce,
            "_slopeAngle": 10.0,
        }

    def pressBrakePedal(self, pedalPosition: float) -> Result:
        """Presses the brake, 0 to 1."""
        if not 0 <= pedalPosition <= 1:
            return {"error": "Pedal position must be between 0 and 1."}
        if pedalPosition == 0:
            return self.releaseBrakePedal()
        self.brakePedalStatus, self._brakePedalForce = "pressed", pedalPosition * 1000
        return {"brakePedalStatus": "pressed", "brakePedalForce": float(self._brakePedalForce)}

    def releaseBrakePedal(self) -> Result:
        """Releases the brake."""
        self.brakePedalStatus, self._brakePedalForce = "released", 0.0
        return {"brakePedalStatus": "released", "brakePedalForce": 0.0}

    def setCruiseControl(self, speed: float, activate: bool, distanceToNextVehicle: float) -> Result:
        """Keeps a speed and a distance, or no longer."""
        distance, speed = float(distanceToNextVehicle), float(speed)
        if self.engine_state == "stopped":
            return {"error": "Start the engine before activating the cruise control."}
        self.distanceToNextVehicle = distance
        if activate and (speed < 0 or speed > 120 or speed % 5 != 0):
            return {"error": "Invalid speed"}
        self.cruiseStatus = "active" if activate else "inactive"
        return {"cruiseStatus": self.cruiseStatus, "currentSpeed": speed, "distanceToNextVehicle": distance}

    def get_current_speed(self) -> Result:
        """Some speed."""
        return {"currentSpeed": self._drawn("uniform", 0.0, 120.0)}

    def display_log(self, messages: list[str]) -> Result:
        """Shows messages."""
        return {"log": messages}

    def estimate_drive_feasibility_by_mileage(self, distance: float) -> Result:
        """Whether the fuel lasts for so many miles."""
        return {"canDrive": not self.fuelLevel * MILES_PER_GALLON < distance}

    def liter_to_gallon(self, liter: float) -> Result:
        """Liters as gallons."""
        return {"gallon": liter * 0.264172}

    def gallon_to_liter(self, gallon: float) -> Result:
        """Gallons as liters."""
        return {"liter": gallon * 3.78541}

    def estimate_distance(self, cityA: str, cityB: str) -> Result:
        """Kilometres between two cities, given by zip code."""
        known = _DISTANCES.get(frozenset((cityA, cityB))) if isinstance(cityA, str) and isinstance(cityB, str) else None
        found: Result = {"error": "distance not found in database."} if known is None else {"distance": known}
        if self.long_context:
            found["intermediaryCities"] = ExtendedList((), "INTERMEDIARY_CITIES")
        return found

    def get_zipcode_based_on_city(self, city: str) -> Result:
        """A city's zip code."""
        return {"zipcode": _ZIP_CODES.get(city, "00000") if isinstance(city, str) else "00000"}

    def set_navigation(self, destination: str) -> Result:
        """Sets where to go."""
        self.destination = destination
        return {"status": "Navigating to " + destination}

    def check_tire_pressure(self) -> Result:
        """The tyres, and whether their mean is fine."""
        tires = {
            "frontLeftTirePressure": self.frontLeftTirePressure,
            "frontRightTirePressure": self.frontRightTirePressure,
            "rearLeftTirePressure": self.rearLeftTirePressure,
            "rearRightTirePressure": self.rearRightTirePressure,
        }
        return {
            **tires,
            "healthy_tire_pressure": 30 <= sum(tires.values()) / 4 <= 35,
            "car_info": _long("CAR_STATUS_METADATA_EXTENSION") if self.long_context else {},
        }

    def find_nearest_tire_shop(self) -> Result:
        """Always the same shop."""
        return {"shopLocation": "456 Oakwood Avenue, Rivermist, 83214"}

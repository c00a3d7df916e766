"""Who works in the office: departments, people in lines of reporting, meeting rooms."""

from __future__ import annotations

import unicodedata

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.records import Department, Person, Room

__all__ = ["COMPANY", "DOMAIN", "FIRST_NAMES", "LAST_NAMES", "OFFICES", "found_people", "found_rooms", "mailbox_name"]

COMPANY = "Velmora"
DOMAIN = "velmora.example"
OFFICES = ("Hamburg", "Lisbon", "Gdansk", "Utrecht")

# Name, people in it, head's title, titles of the others.
_DEPARTMENTS: tuple[tuple[str, int, str, tuple[str, ...]], ...] = (
    (
        "Engineering",
        27,
        "Head of Engineering",
        ("Software Engineer", "Senior Engineer", "Test Engineer", "Data Engineer"),
    ),
    ("Product", 9, "Head of Product", ("Product Manager", "Product Analyst", "User Researcher")),
    ("Design", 8, "Head of Design", ("Interaction Designer", "Visual Designer", "Content Designer")),
    ("Sales", 18, "Head of Sales", ("Account Manager", "Sales Engineer", "Sales Development Representative")),
    ("Marketing", 10, "Head of Marketing", ("Campaign Manager", "Copywriter", "Event Manager")),
    ("IT", 10, "Head of IT", ("System Administrator", "Support Specialist", "Network Engineer")),
    ("People", 8, "Head of People", ("Recruiter", "Payroll Specialist", "Learning Partner")),
    ("Facilities", 8, "Head of Facilities", ("Office Manager", "Building Technician", "Receptionist")),
    ("Finance", 12, "Head of Finance", ("Accountant", "Controller", "Purchasing Specialist")),
    ("Legal", 9, "Head of Legal", ("Legal Counsel", "Contract Manager", "Compliance Officer")),
)
FIRST_NAMES = tuple(
    [
        "Ada",
        "Adam",
        "Agnes",
        "Amir",
        "Anna",
        "Aron",
        "Beatriz",
        "Ben",
        "Carla",
        "Chen",
        "Clara",
        "Daniel",
        "Diego",
        "Elena",
        "Elif",
        "Emil",
        "Emma",
        "Farid",
        "Felix",
        "Freya",
        "Gustav",
        "Hana",
        "Henrik",
        "Ida",
        "Ines",
        "Ivan",
        "Jakob",
        "Jana",
        "Jonas",
        "Julia",
        "Kamil",
        "Karin",
        "Lars",
        "Laura",
        "Leon",
        "Lina",
        "Lucas",
        "Magda",
        "Malik",
        "Maria",
        "Marta",
        "Mateo",
        "Mila",
        "Nadia",
        "Nils",
        "Nora",
        "Olga",
        "Oscar",
        "Paula",
        "Pedro",
        "Petra",
        "Rafael",
        "Rosa",
        "Samir",
        "Sara",
        "Simon",
        "Sofia",
        "Tariq",
        "Tomas",
        "Vera",
        "Viktor",
        "Yara",
        "Zoë",
        "Søren",
        "Jürgen",
        "André",
    ]
)
LAST_NAMES = tuple(
    [
        "Abel",
        "Almeida",
        "Andersen",
        "Bakker",
        "Barros",
        "Becker",
        "Berg",
        "Blum",
        "Borg",
        "Brandt",
        "Castro",
        "Correia",
        "Dahl",
        "Decker",
        "Dias",
        "Ebner",
        "Engel",
        "Falk",
        "Ferreira",
        "Fischer",
        "Gallo",
        "Gomes",
        "Graf",
        "Haas",
        "Hansen",
        "Hartmann",
        "Hoffmann",
        "Ivanov",
        "Jansen",
        "Jensen",
        "Kaya",
        "Keller",
        "Klein",
        "Kowalski",
        "Kruger",
        "Lang",
        "Larsen",
        "Lehmann",
        "Lima",
        "Lindberg",
        "Lopes",
        "Lund",
        "Maier",
        "Marques",
        "Meyer",
        "Moreau",
        "Muller",
        "Nagy",
        "Nowak",
        "Nunes",
        "Okafor",
        "Olsen",
        "Park",
        "Patel",
        "Pereira",
        "Peters",
        "Pinto",
        "Popov",
        "Ramos",
        "Reis",
        "Rossi",
        "Roth",
        "Santos",
        "Sauer",
        "Schmidt",
        "Schulz",
        "Silva",
        "Smit",
        "Sousa",
        "Stein",
        "Tanaka",
        "Teixeira",
        "Torres",
        "Unger",
        "Vega",
        "Verhoeven",
        "Visser",
        "Vogel",
        "Wagner",
        "Weber",
        "Weiss",
        "Winter",
        "Wolf",
        "Yilmaz",
        "Zieliński",
        "Núñez",
    ]
)


def found_people(draw: Draw) -> tuple[list[Department], list[Person]]:
    """Departments and people. The first person heads the company, the next ones the departments."""
    total = 1 + sum(size for _, size, _, _ in _DEPARTMENTS)
    names = _names(draw, total)
    people = [_person(draw, 0, names[0], "Managing Director", "D-0001", "", "Hamburg")]
    departments = [Department("D-0001", "Management", "P-0001", draw.whole(150, 400) * 10_000)]
    heads: list[Person] = []
    for number, (_, _, title, _) in enumerate(_DEPARTMENTS, start=2):
        head = _person(draw, len(people), names[len(people)], title, f"D-{number:04}", "P-0001", draw.one(OFFICES))
        people.append(head)
        heads.append(head)
    for head, (name, size, _, titles) in zip(heads, _DEPARTMENTS, strict=True):
        departments.append(Department(head.department, name, head.id, draw.whole(80, 600) * 5_000))
        leads: list[Person] = []
        for place in range(size - 1):
            # Large departments have teams of about six, each with a lead.
            leading = size > 9 and place % 7 == 0
            chief = head if leading or not leads else leads[-1]
            title = f"{name} Team Lead" if leading else draw.one(titles)
            office = draw.one((chief.office, chief.office, *OFFICES))
            person = _person(draw, len(people), names[len(people)], title, head.department, chief.id, office)
            people.append(person)
            if leading:
                leads.append(person)
    return departments, people


def _names(draw: Draw, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{draw.one(FIRST_NAMES)} {draw.one(LAST_NAMES)}"] = None
    return list(names)


def _person(draw: Draw, place: int, name: str, title: str, department: str, manager: str, office: str) -> Person:
    since = f"{draw.whole(2008, 2025)}-{draw.whole(1, 12):02}-01"
    phone = f"+49 40 55501 {place + 101}"
    days = draw.one((26, 28, 30))
    email = f"{mailbox_name(name)}@{DOMAIN}"
    return Person(f"P-{place + 1:04}", name, email, title, department, manager, office, phone, since, days)


def mailbox_name(name: str) -> str:
    """The part of an e-mail address before the @ for a name."""
    plain = unicodedata.normalize("NFKD", name.replace("ø", "o")).encode("ascii", "ignore").decode()
    return plain.casefold().replace(" ", ".")


def found_rooms(draw: Draw) -> list[Room]:
    """Four rooms in each office, of different sizes."""
    trees = draw.some(
        ("Alder", "Ash", "Beech", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Linden", "Maple", "Oak",
         "Pine", "Poplar", "Rowan", "Spruce", "Willow"),
        16,
    )  # fmt: skip
    rooms = []
    for place, name in enumerate(trees):
        capacity = (4, 6, 10, 24)[place % 4]
        equipment = draw.some(("projector", "video", "whiteboard"), 1 + place % 4 if capacity < 24 else 3)
        rooms.append(Room(f"R-{place + 1:04}", name, OFFICES[place // 4], capacity, tuple(sorted(equipment))))
    return rooms

"""The file tree: folders of the company, of departments and of people, and the files in them."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.founding.people import COMPANY
from palaestra.envs.tools.desk.records import Department, File, Folder, Person
from palaestra.envs.tools.desk.times import later_day

__all__ = ["found_files", "found_folders"]

_COMPANY = ("Policies", "Templates", "Brand", "Town halls")
_DEPARTMENT = ("Plans", "Reports", "Budget", "Onboarding")
_PERSONAL = ("Notes", "Drafts")

_POLICIES = {
    "travel-policy.pdf": "Travel is booked through the travel desk. Rail is preferred below 600 km. Hotels up to 140 "
    "euros a night; meals up to 48 euros a day.",
    "expense-policy.pdf": "Hand in receipts within 30 days. Amounts above 250 euros need your manager's signature.",
    "leave-policy.pdf": "Vacation is requested in the leave tool at least two weeks ahead. Sick leave is reported on "
    "the first day.",
    "security-policy.pdf": "Lock your screen. Confidential files stay inside the company and within the department "
    "of their owner.",
    "remote-work-policy.pdf": "Up to three days a week may be worked from home. Core hours are 10:00 to 15:00.",
    "purchasing-policy.pdf": "Orders above 500 euros need the approval of your manager. Furniture is delivered to "
    "offices only.",
}
_TEMPLATES = {
    "meeting-minutes.docx": "Date:\nPresent:\nDecisions:\nOpen points:",
    "project-brief.docx": "Goal:\nOwner:\nMilestones:\nRisks:\nBudget:",
    "invoice.xlsx": "position,quantity,unit price,total",
    "status-report.md": "# Status\n\n## Done\n\n## Next\n\n## Risks",
}
_BRAND = {
    "logo-usage.pdf": "Keep the logo clear of other marks. Do not stretch it.",
    "colours.txt": "Blue 1F4E79\nSand E8DCC4",
}
_THEMES = ("hiring", "tooling", "customer survey", "office move", "training", "audit", "migration", "launch", "pricing",
           "supplier review", "accessibility", "energy use")  # fmt: skip
_QUARTERS = ("2025-Q1", "2025-Q2", "2025-Q3", "2025-Q4", "2026-Q1")


def found_folders(departments: Sequence[Department], people: Sequence[Person]) -> list[Folder]:
    """The company's folders, then those of departments and people, each with its subfolders."""
    folders: list[Folder] = []

    def make(name: str, parent: str, scope: str, holder: str) -> str:
        folders.append(Folder(f"FD-{len(folders) + 1:04}", name, parent, scope, holder))
        return folders[-1].id

    top = make(COMPANY, "", "company", "")
    for name in _COMPANY:
        make(name, top, "company", "")
    for department in departments:
        top = make(department.name, "", "department", department.id)
        for name in _DEPARTMENT:
            make(name, top, "department", department.id)
    for person in people:
        top = make(person.name, "", "personal", person.id)
        for name in _PERSONAL:
            make(name, top, "personal", person.id)
    return folders


def found_files(
    draw: Draw, departments: Sequence[Department], people: Sequence[Person], folders: Sequence[Folder], now: str
) -> list[File]:
    """Files with readable content; shared ones, read-only ones, confidential ones and some in the trash."""
    files: list[File] = []
    names: set[tuple[str, str]] = set()
    by_department = {one.id: [person for person in people if person.department == one.id] for one in departments}
    place = {(folder.holder, folder.name): folder.id for folder in folders}

    def make(
        name: str, folder: str, owner: str, content: str, *, confidential: bool = False, read_only: bool = False,
        shared: Sequence[tuple[str, str]] = (), trashed: bool = False,
    ) -> None:  # fmt: skip
        if (folder, name) in names:
            return
        names.add((folder, name))
        day = later_day(now[:10], -draw.whole(1, 300))
        at = f"{day}T{draw.whole(8, 18):02}:{draw.whole(0, 59):02}"
        kind = name.rpartition(".")[2]
        files.append(
            File(f"F-{len(files) + 1:04}", name, folder, owner, kind, content, confidential, read_only,
                 tuple(sorted(shared)), at, trashed)
        )  # fmt: skip

    heads = {one.name: one.head for one in departments}
    for name, content in _POLICIES.items():
        make(name, place["", "Policies"], heads["People"], content, read_only=True)
    for name, content in _TEMPLATES.items():
        make(name, place["", "Templates"], heads["Marketing"], content, read_only=draw.chance(0.5))
    for name, content in _BRAND.items():
        make(name, place["", "Brand"], heads["Design"], content)
    for month in ("2025-11", "2025-12", "2026-01", "2026-02"):
        content = f"Town hall {month}: results, new colleagues, {draw.one(_THEMES)}, questions."
        make(f"town-hall-{month}.md", place["", "Town halls"], heads["Management"], content)
    for department in departments:
        staff = by_department[department.id]
        for quarter in _QUARTERS:
            spent, planned = draw.whole(20, 400) * 100, draw.whole(100, 500) * 100
            content = f"item,euros\nplanned,{planned}\nspent,{spent}\nleft,{planned - spent}"
            make(f"budget-{quarter}.xlsx", place[department.id, "Budget"], department.head, content, confidential=True)
            theme = draw.one(_THEMES)
            content = f"# {department.name} {quarter}\n\nFocus: {theme}. Goals met: {draw.whole(3, 9)} of 9."
            shared = [(one.id, "editor") for one in draw.some(staff, 1) if one.id != department.head]
            make(f"report-{quarter}.md", place[department.id, "Reports"], department.head, content, shared=shared)
        for theme in draw.some(_THEMES, 3):
            owner = draw.one(staff)
            content = f"# Plan: {theme}\n\n1. Collect needs\n2. Decide by {later_day(now[:10], draw.whole(5, 60))}"
            make(f"plan-{theme.replace(' ', '-')}.docx", place[department.id, "Plans"], owner.id, content)
        content = f"Welcome to {department.name}. Your first week: accounts, laptop, tour, lunch with the team."
        make("checklist.txt", place[department.id, "Onboarding"], department.head, content, read_only=draw.chance(0.4))
    for person in people:
        mates = [one for one in by_department[person.department] if one.id != person.id]
        for theme in draw.some(_THEMES, draw.whole(1, 3)):
            confidential = draw.chance(0.15)
            circle = mates if confidential else [one for one in people if one.id != person.id]
            shared = [(one.id, draw.one(("viewer", "editor"))) for one in draw.some(circle, draw.whole(0, 3))]
            folder = place[person.id, draw.one(_PERSONAL)]
            content, kind = _personal(draw, theme, now)
            name = f"{theme.replace(' ', '-')}-{draw.one(('notes', 'ideas', 'list', 'figures'))}.{kind}"
            make(
                name, folder, person.id, content, confidential=confidential, read_only=draw.chance(0.08), shared=shared,
                trashed=draw.chance(0.1),
            )  # fmt: skip
    return files


def _personal(draw: Draw, theme: str, now: str) -> tuple[str, str]:
    match draw.whole(0, 3):
        case 0:
            return f"Ideas on {theme}: start small, measure, ask {draw.whole(4, 20)} people.", "txt"
        case 1:
            return f"# {theme}\n\n- next step until {later_day(now[:10], draw.whole(2, 40))}\n- who helps?", "md"
        case 2:
            return "month,value\n" + "\n".join(f"2026-0{m},{draw.whole(10, 990)}" for m in (1, 2, 3)), "csv"
    return f"Draft about {theme}. Estimated cost: {draw.whole(5, 90) * 100} euros.", "docx"

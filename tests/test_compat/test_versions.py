"""The version guard reads package metadata and names everything that does not fit."""
import pytest

from glipkit.compat import check_versions, versions
from glipkit.compat.versions import Requirement

NEEDS = Requirement('foundation', ('onedl-foundation', 'foundation'), '2.4', '3')


def install(monkeypatch, **installed):
    def version(name):
        if name not in installed:
            raise versions.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(versions, 'version', version)


@pytest.mark.parametrize('good', ['2.4', '2.4.0+cpu', '2.4.0a0', '2.15.0.dev20260101', '2.99'])
def test_versions_in_range_pass(monkeypatch, good):
    install(monkeypatch, foundation=good)
    check_versions((NEEDS, ))


@pytest.mark.parametrize('bad', ['2.3.1', '3.0', '3.0.0a0', '1.13'])
def test_versions_out_of_range_are_named(monkeypatch, bad):
    install(monkeypatch, foundation=bad)
    with pytest.raises(ImportError) as error:
        check_versions((NEEDS, ))
    text = str(error.value)
    assert f'expected onedl-foundation>=2.4,<3, got foundation {bad}' in text
    assert "pip install 'onedl-foundation>=2.4,<3'" in text


def test_missing_library_is_named(monkeypatch):
    install(monkeypatch)
    with pytest.raises(ImportError, match='expected onedl-foundation>=2.4,<3, got none'):
        check_versions((NEEDS, ))


def test_a_checkout_without_metadata_is_trusted(monkeypatch):
    install(monkeypatch)
    check_versions((Requirement('json', ('json-checkout', ), '2.4', '3'), ))


def test_every_misfit_is_in_the_one_error(monkeypatch):
    install(monkeypatch, foundation='2.3')
    other = Requirement('absent', ('absent', ), '1', '2')
    with pytest.raises(ImportError, match='foundation 2.3.*absent>=1,<2, got none'):
        check_versions((NEEDS, other))


def test_this_installation_passes():
    check_versions()

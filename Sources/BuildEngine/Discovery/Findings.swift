import OCI
import Report

/// What was found so far, while files are read.
struct Findings: Sendable {
    /// Text that may name an image, and why nobody can tell.
    struct Undecided: Sendable {
        var reference: Reference
        var warning: Diagnostic
    }

    private(set) var places: [Reference: Set<DiscoveredImage.Place>] = [:]
    private(set) var undecided: [Undecided] = []
    private(set) var warnings: [Diagnostic] = []
    private(set) var mistakes: [Diagnostic] = []

    mutating func add(_ reference: Reference, at place: DiscoveredImage.Place) {
        places[reference, default: []].insert(place)
    }

    mutating func add(undecided reference: Reference, _ warning: Diagnostic) {
        undecided.append(Undecided(reference: reference, warning: warning))
    }

    mutating func warn(_ warning: Diagnostic) { warnings.append(warning) }

    mutating func refuse(_ mistake: Diagnostic) { mistakes.append(mistake) }

    mutating func refuse(_ text: InvalidText) { mistakes += text.diagnostics }

    mutating func merge(_ other: Findings) {
        places.merge(other.places) { $0.union($1) }
        undecided += other.undecided
        warnings += other.warnings
        mistakes += other.mistakes
    }

    /// The result: images by name, and the remarks that remain. What an image list or a pod names needs no remark.
    var discovery: Discovery {
        let images = places.map { DiscoveredImage(reference: $0.key, foundIn: $0.value.sorted()) }
        let remaining = undecided.filter { places[$0.reference] == nil }.map(\.warning)
        return Discovery(
            images: images.sorted { $0.reference.description < $1.reference.description },
            warnings: (warnings + remaining).sorted {
                ($0.file, $0.line, $0.column, $0.message) < ($1.file, $1.line, $1.column, $1.message)
            }
        )
    }
}

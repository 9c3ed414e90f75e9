import Archive
import FoundationEssentials
import LinuxSystem
import Report

/// The search for what is at some paths of an image, from its topmost layer down.
///
/// For each path it knows what is at the path and at each folder above it, as soon as a layer has told: then lower layers do not
/// matter any more. A hard link starts a search of its own, for what its target was at that moment.
struct PathSearch {
    /// What is at a path.
    private enum Found {
        case nothing
        /// A folder that has an entry of its own, or that nothing lower can change any more.
        case folder
        case file(ImageFile)
        /// A file of that many bytes, more than are read.
        case large(Int64)
        case symbolicLink
        case special
        /// What another search finds.
        case same(as: Int)
    }

    private struct Search {
        /// The path and what is above it, the outermost first.
        var levels: [ArchivePath]
        /// What is known of each level; nil while lower layers can still tell.
        var known: [Found?]
        /// Whether a layer brought something that lies below the level.
        var isImplied: [Bool]
        /// Of the present layer only the entries before this one count.
        var bound = Int.max
        /// How many hard links led here.
        var links = 0

        init(_ path: ArchivePath) {
            levels = []
            var path = path
            while !path.isRoot {
                levels.insert(path, at: 0)
                path = path.parent
            }
            known = Array(repeating: nil, count: levels.count)
            isImplied = Array(repeating: false, count: levels.count)
        }

        var isDone: Bool { known.allSatisfy { $0 != nil } }
    }

    private var searches: [Search]
    /// A chain of hard links costs a reading of the layer for each.
    private static let mostLinks = 8

    /// Begins a search for each of the paths.
    init(_ paths: [ArchivePath]) {
        searches = paths.map { Search($0) }
    }

    /// Whether lower layers do not matter.
    var isDone: Bool { searches.allSatisfy(\.isDone) }

    /// Looks into the next lower layer. Blocks.
    mutating func look(into layer: PackedLayer, limit: Int, _ cancellation: CancellationFlag) throws {
        var begun = 0
        // Hard links ask for more of the same layer.
        while begun < searches.count {
            let fresh = begun..<searches.count
            begun = searches.count
            let asked = fresh.filter { !searches[$0].isDone }
            guard !asked.isEmpty else { continue }
            let scan = try layer.verified(cancellation) { tar in
                var scan = LayerScan(asked.map { (searches[$0].levels, searches[$0].bound) })
                try scan.read(tar, place: layer.place, limit: limit, cancellation)
                return scan
            }
            for (position, number) in asked.enumerated() {
                try take(scan.paths[position], of: number, layer.place)
                searches[number].bound = .max
            }
        }
    }

    /// What the layer says, upon what upper layers have said.
    private mutating func take(_ seen: LayerScan.Path, of number: Int, _ place: String) throws {
        for level in searches[number].known.indices {
            let isHidden = seen.isHidden[level]
            switch seen.own[level] {
            case nil:
                if isHidden { return close(number, from: level) }
            case .impliedFolder?:
                // Or a link to one, of a lower layer.
                searches[number].isImplied[level] = true
                if isHidden { settle(number, level, .folder) }
            case .folder?: settle(number, level, .folder)
            case .file(let file)?: return settle(number, end: level, .file(file))
            case .large(let size)?: return settle(number, end: level, .large(size))
            case .symbolicLink?: return settle(number, end: level, .symbolicLink)
            case .special?: return settle(number, end: level, .special)
            case .hardLink(let target, let entry)?:
                guard searches[number].known[level] == nil else { return close(number, from: level + 1) }
                var search = Search(target)
                search.bound = entry
                search.links = searches[number].links + 1
                guard search.links <= Self.mostLinks else {
                    throw Failure(
                        .integrity, "more than \(Self.mostLinks) hard links lead one to the other",
                        at: "\(place): \(searches[number].levels[level])")
                }
                searches.append(search)
                return settle(number, end: level, .same(as: searches.count - 1))
            }
        }
    }

    private mutating func settle(_ number: Int, _ level: Int, _ found: Found) {
        if searches[number].known[level] == nil { searches[number].known[level] = found }
    }

    /// Something that is no folder: below it there is nothing. An upper layer's folder has taken its place, and what was in it away.
    private mutating func settle(_ number: Int, end level: Int, _ found: Found) {
        settle(number, level, found)
        close(number, from: level + 1)
    }

    /// Lower layers have nothing to say of the level and what lies below it.
    private mutating func close(_ number: Int, from level: Int) {
        for level in searches[number].known.indices.dropFirst(level) {
            settle(number, level, searches[number].isImplied[level] ? .folder : .nothing)
        }
    }

    /// Below the lowest layer there is nothing.
    mutating func finish() {
        for number in searches.indices { close(number, from: 0) }
    }

    // MARK: - What was found

    /// The file at a path; nil when there is nothing.
    func file(_ number: Int, _ asked: ArchivePath, limit: Int) throws -> ImageFile? {
        func refused(_ what: String) -> Failure {
            Failure(.invalidInput, what, at: asked.description)
        }
        let search = searches[number]
        for (path, found) in zip(search.levels, search.known) {
            let isLast = path == search.levels.last
            switch found {
            case nil, .nothing?: return nil
            case .folder?: if isLast { throw refused("is a folder in the image, a file was expected") }
            case .file(let file)?:
                if isLast { return file }
                throw refused("cannot be there: \(path) is a file in the image")
            case .large(let size)?:
                throw refused(
                    isLast
                        ? "has \(size) bytes in the image, a file of at most \(limit) was expected"
                        : "cannot be there: \(path) is a file in the image")
            case .symbolicLink?:
                let what = isLast ? "is" : "lies below \(path), which is"
                throw refused("\(what) a symbolic link in the image: these are not followed")
            case .special?:
                let what = isLast ? "is" : "lies below \(path), which is"
                throw refused("\(what) a device or a pipe in the image, a file was expected")
            case .same(let other)?:
                if isLast { return try file(other, asked, limit: limit) }
                throw refused("cannot be there: \(path) is a file in the image")
            }
        }
        return nil
    }
}

import FoundationEssentials
import LinuxSystem
import SystemPackage
import YAML

/// Which template each line of rendered text comes from, told by helm's `# Source:` comments.
struct RenderedSources: Sendable {
    private struct Part: Sendable {
        /// The first line of the part.
        var line: Int
        /// The template, relative to the rootfs.
        var file: String
        /// The only line of the template that names an image.
        var imageLine: Int?
    }

    private let chart: DiscoveryTree.Chart
    private let parts: [Part]

    /// Reads the comments, and the templates of the chart for their lines. Blocking.
    init(_ text: String, chart: DiscoveryTree.Chart, root: FilePath) {
        self.chart = chart
        var parts: [Part] = []
        var lines: [String: Int?] = [:]
        let prefix = Array("# Source: ".utf8)
        for (index, line) in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            guard line.starts(with: prefix) else { continue }
            let source = String(decoding: line.dropFirst(prefix.count), as: UTF8.self)
            // The first component is the chart's own name, which need not be its folder's.
            let within = source.split(separator: "/").dropFirst().joined(separator: "/")
            let file = "\(chart.path)/\(within)"
            if lines[file] == nil {
                lines[file] = chart.isPackage ? .some(nil) : Self.imageLine(of: root.appending(file))
            }
            parts.append(Part(line: index + 1, file: file, imageLine: lines[file] ?? nil))
        }
        self.parts = parts
    }

    /// Where a node of the rendered text comes from.
    func place(of mark: YAMLMark) -> DiscoveredImage.Place {
        var (low, high) = (0, parts.count)
        while low < high {
            let middle = (low + high) / 2
            if parts[middle].line <= mark.line { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return DiscoveredImage.Place(file: chart.path, line: nil) }
        let part = parts[low - 1]
        return DiscoveredImage.Place(file: part.file, line: part.imageLine)
    }

    /// The line of a template with the key `image`, if there is exactly one: of several nobody can tell which it was.
    private static func imageLine(of template: FilePath) -> Int? {
        let data: Data
        // The line is a help for people; the image was found whether it can be told or not.
        do { data = try readFile(template, limit: 1 << 20) } catch { return nil }
        var found: Int?
        let text = String(decoding: data, as: UTF8.self)
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let key = line.drop { $0 == " " || $0 == "-" }
            guard key.hasPrefix("image:") || key.hasPrefix("\"image\":") else { continue }
            if found != nil { return nil }
            found = index + 1
        }
        return found
    }
}

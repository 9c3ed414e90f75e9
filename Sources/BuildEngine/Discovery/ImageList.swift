import OCI
import Report

/// A list of image names, one a line; `#` begins a comment.
enum ImageList {
    /// Takes the names of a list.
    static func read(_ text: String, file: String, into findings: inout Findings) {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            var content = line.prefix(upTo: comment(in: line) ?? line.endIndex)
            if index == 0, content.first == "\u{feff}" { content.removeFirst() }
            let blanks = content.prefix(while: \.isWhitespace).unicodeScalars.count
            let name = content.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()
            guard !name.isEmpty else { continue }
            do throws(Failure) {
                findings.add(try Reference(String(name)), at: DiscoveredImage.Place(file: file, line: index + 1))
            } catch {
                let message = "\(error.what); one image name a line was expected"
                findings.refuse(Diagnostic(file: file, line: index + 1, column: blanks + 1, message: message))
            }
        }
    }

    /// A `#` at the line's beginning or after a blank.
    private static func comment(in line: Substring) -> Substring.Index? {
        var previous: Character = " "
        for index in line.indices {
            if line[index] == "#", previous.isWhitespace { return index }
            previous = line[index]
        }
        return nil
    }
}

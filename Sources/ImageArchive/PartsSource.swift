import Archive
import ImageStore
import OCI
import Report
import SystemPackage

/// The parts of an archive as one stream; each is hashed on the way and compared with the list at its end.
final class PartsSource: SkippableSource {
    private let parts: [(path: FilePath, part: PartsList.Part)]
    private var next = 0
    private var open: (file: InputFile, hasher: ContentHasher)?
    /// The bytes of all parts.
    let size: Int64

    init(_ parts: [(path: FilePath, part: PartsList.Part)]) {
        self.parts = parts
        size = parts.reduce(0) { $0 + $1.part.size }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            if open == nil {
                guard next < parts.count else { return 0 }
                open = (try InputFile(parts[next].path), ContentHasher(parts[next].part.digest.algorithm))
                next += 1
            }
            guard let count = try open?.file.read(into: buffer) else { continue }
            guard count == 0 else {
                open?.hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return count
            }
            let (path, part) = parts[next - 1]
            guard open?.hasher.digest() == part.digest else { throw Self.damage(path) }
            open = nil
        }
    }

    /// Skips nothing: every byte has to be hashed.
    func skip(_ count: Int64) throws -> Int64 { 0 }

    static func damage(_ path: FilePath, causes: [any Error] = []) -> Failure {
        Failure(
            .integrity, "this part of the archive is damaged", at: path.string,
            remedy: "fetch it again; the other parts can stay", causes: causes)
    }
}

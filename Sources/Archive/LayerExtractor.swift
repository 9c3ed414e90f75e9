import Glibc
import LinuxSystem
import Report
import SystemPackage

/// Unpacks layers, lowest first, into one folder, so that afterwards it holds the tree that they describe.
///
/// Nothing outside the folder is touched, whatever the archive says: all work goes through descriptors of folders that the
/// kernel found below the root (`TreeRoot`). Files replace what stood at their name; permissions come after the content, those of
/// folders at the very end. Holes of sparse files stay holes. Everything blocks: use it on the `BlockingPool`.
public final class LayerExtractor {
    private let root: TreeRoot
    private let policy: ExtractionPolicy
    private let cancellation: CancellationFlag?
    private let progress: ((Int64) -> Void)?

    /// Opens the folder to unpack into; it must be there.
    ///
    /// - Parameters:
    ///   - progress: gets the bytes of content written by the present `extract`, at most once a MiB.
    /// - Throws: `Failure` of kind `notFound` or `system`.
    public convenience init(
        into root: FilePath,
        policy: ExtractionPolicy = ExtractionPolicy(),
        cancellation: CancellationFlag? = nil,
        progress: ((Int64) -> Void)? = nil
    ) throws {
        self.init(root: try TreeRoot(root), policy: policy, cancellation: cancellation, progress: progress)
    }

    init(
        root: TreeRoot,
        policy: ExtractionPolicy,
        cancellation: CancellationFlag? = nil,
        progress: ((Int64) -> Void)? = nil
    ) {
        self.root = root
        self.policy = policy
        self.cancellation = cancellation
        self.progress = progress
    }

    /// Unpacks one layer. When it throws, the folder holds a part of it.
    ///
    /// - Parameters:
    ///   - tar: the archive, unpacked already (`Compression.decoder`). It is read to its end.
    ///   - place: what it is, for messages.
    /// - Throws: `Failure` of kind `integrity` for damaged or hostile archives, `system` when the disk refuses;
    ///   `CancellationError`.
    @discardableResult
    public func extract(_ tar: any ByteSource, place: String) throws -> ExtractionSummary {
        let reader = TarReader(tar, limits: policy.tar, place: place)
        let extraction = LayerExtraction(
            reader,
            into: root,
            policy: policy,
            meter: ByteMeter(cancellation, progress),
            place: place
        )
        return try extraction.run()
    }
}

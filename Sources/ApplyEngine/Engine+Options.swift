import ClusterRuntime
import SystemPackage

extension Engine {
    /// How a plan is to be executed.
    public struct Options: Sendable {
        /// How many steps may run at once.
        public var concurrency = PlanExecutor.defaultConcurrency
        /// The plan that must be executed, and no other; nil for whatever is found to be needed.
        public var expected: Plan?
        /// How the pods of nodes that leave are ended.
        public var drain = DrainPolicy()
        /// Whether a cluster of that name must not be there yet.
        public var mustBeNew = false
        /// The command, for the journal.
        public var command = "apply"
        /// The command that goes on after a failure.
        public var resume = "sealer apply"
        /// Asks for an orderly end between steps.
        public var pause = PauseSignal()

        /// Makes the usual options.
        public init() {}
    }

    /// A cluster that is what its Clusterfile says.
    public struct AppliedCluster: Sendable {
        /// Its name.
        public var name: String
        /// The administrator's kubeconfig on this machine.
        public var kubeconfig: FilePath
        /// The names and addresses of all nodes.
        public var addresses: [(name: String, address: String)]
        /// What was done.
        public var plan: Plan
    }
}

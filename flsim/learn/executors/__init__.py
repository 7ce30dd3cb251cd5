"""Executors: how the training of many clients is carried out. They differ in speed, not in results."""

from flsim.learn.executors.executor import BatchOrder, Executor, Job, Recipe, Trained

__all__ = ["BatchOrder", "Executor", "Job", "Recipe", "Trained"]
